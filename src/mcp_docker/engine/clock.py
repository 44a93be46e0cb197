"""The engine's clock, which may be another machine's."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime


def told(headers: Mapping[str, str]) -> float | None:
    """When an answer was sent, in whole unix seconds (RFC 9110, 6.6.1); None where it does not say so."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
