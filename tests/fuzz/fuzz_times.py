"""Expressions of time, beside a reading of RFC 3339 and of durations that knows nothing of `datetime`."""

import calendar
import contextlib
import re
from datetime import UTC, date, datetime, tzinfo
from fractions import Fraction
from unittest import mock

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.tools import fields

MODULES = ("mcp_docker.tools.fields",)
NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
UNIX = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([dhms])")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Clock(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls(2026, 1, 31, 12, 0, 0, tzinfo=tz)


def standing_still() -> contextlib.AbstractContextManager[object]:
    """While this is entered, durations count back from NOW."""
    return mock.patch.object(fields, "datetime", Clock)


def rfc3339(text: str) -> Fraction | None:
    """Unix seconds; None where the text is no such time."""
    if (match := _RFC3339.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    days = calendar.monthrange(year, month)[1] if 1 <= month <= 12 and year else 0
    if not (1 <= day <= days and hour < 24 and minute < 60 and second < 60):
        return None
    offset = 0
    if match[9]:
        if int(match[10]) > 23 or int(match[11]) > 59:
            return None
        offset = (int(match[10]) * 60 + int(match[11])) * 60 * (1 if match[9] == "+" else -1)
    days_since = date(year, month, day).toordinal() - 719_163
    whole = ((days_since * 24 + hour) * 60 + minute) * 60 + second - offset
    return whole + Fraction(int((match[7] or "0").ljust(9, "0")), 10**9)


def seconds(text: str) -> Fraction | None:
    """The seconds of a duration whose units come once each, from the largest; only seconds may have a fraction."""
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    whole = "".join(number + unit for number, unit in parts) == text
    if not parts or not whole or units != sorted(set(units), key="dhms".index):
        return None
    if any("." in number and unit != "s" for number, unit in parts):
        return None
    return sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))


def check(text: str) -> None:
    """What comes out is unix seconds, of the moment that the text means."""
    expected = seconds(text)
    found = fields.seconds_of(text)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None and expected < 10**12:
        assert abs(Fraction(found) - expected) <= Fraction(1, 1_000)
    bare = text.strip()
    try:
        with standing_still():
            moment = fields.moment(text)
    except ValueError as problem:
        assert repr(text) in str(problem)
        assert rfc3339(bare) is None
        assert expected is None
        assert not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", bare)
        return
    assert UNIX.fullmatch(moment), moment
    with standing_still():
        assert fields.moment(text) == moment
    whole, _, fraction = moment.partition(".")
    value = int(whole) + Fraction(int(fraction.ljust(9, "0")), 10**9)
    if (exact := rfc3339(bare)) is not None:
        assert value == max(exact, 0)
    elif (back := seconds(bare.removeprefix("-").removesuffix(" ago"))) is not None and back < 10**9:
        assert abs(value - (Fraction(NOW.timestamp()) - back)) < Fraction(1, 1_000)


def one(data: bytes) -> None:
    check(text_in(data))


if __name__ == "__main__":
    fuzz(one)
