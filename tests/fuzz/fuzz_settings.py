"""Settings: lines `NAME=value` as the environment of a server that starts."""

import ipaddress
import json
import os
import posixpath
import re
from collections.abc import Mapping
from unittest import mock

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import policy
    from mcp_docker.errors import SettingsError
    from mcp_docker.registry import Registry
    from mcp_docker.settings import Settings, load

MODULES = ("mcp_docker.settings",)
LISTS = ("safety_allowed_tools", "safety_denied_tools", "safety_tool_timeouts")
SECRETS = ("SECURITY_OAUTH_CLIENT_SECRET", "SECURITY_STATE_KEY")
TRUE = {"true", "t", "yes", "y", "on", "1"}
FALSE = {"false", "f", "no", "n", "off", "0"}


def loaded(environment: Mapping[str, str]) -> Settings | SettingsError:
    """What `load` makes of an environment."""
    with mock.patch.dict(os.environ, environment, clear=True):
        try:
            return load()
        except SettingsError as problem:
            return problem


def check(environment: Mapping[str, str]) -> None:
    """It loads or says why not; blanks are unset, lists may be JSON; what loads is what was written, and is sane."""
    found = loaded(environment)
    known = {field.upper() for field in Settings.model_fields}
    unknown = {
        name for name in environment if name.upper().startswith(("SAFETY_", "SECURITY_")) and name.upper() not in known
    }
    blanks = dict.fromkeys(known - {name.upper() for name in environment}, " ")
    if isinstance(found, SettingsError):
        assert all(problem.strip() for problem in found.problems)
        assert found.problems
        assert all(any(problem.startswith(f"{name}: ") for problem in found.problems) for name in unknown)
        again = loaded(dict(environment) | blanks)
        assert isinstance(again, SettingsError)
        assert again.problems == found.problems
        _tells_no_secret(environment, str(found))
        return
    assert not unknown, unknown
    spelt = [name.upper() for name, value in environment.items() if value and name.upper() in known]
    assert len(spelt) == len(set(spelt)), spelt
    assert loaded(dict(environment) | blanks | _as_json(environment, found)) == found
    _is_what_was_written(environment, found)
    _is_sane(found)
    try:
        policy.check(found)
        if any(getattr(found, name) for name in LISTS):
            Registry(found)
    except SettingsError as problem:
        assert problem.problems


def _tells_no_secret(environment: Mapping[str, str], told: str) -> None:
    others = " ".join([*environment, *(value for name, value in environment.items() if name not in SECRETS)])
    for name in SECRETS:
        value = environment.get(name, "")
        if len(value) >= 8 and value not in others + " ".join(Settings.model_fields).upper():
            assert value not in told, name


def _is_what_was_written(environment: Mapping[str, str], settings: Settings) -> None:
    """Switches, by a reading of their own."""
    written: dict[str, set[str]] = {}
    for name, value in environment.items():
        written.setdefault(name.lower(), set()).add(value.strip().lower())
    for name, field in Settings.model_fields.items():
        given = written.get(name, set()) - {""}
        if field.annotation is not bool or len(given) > 1:
            continue
        expected = TRUE if getattr(settings, name) else FALSE
        assert given <= expected if given else getattr(settings, name) is field.default, name


def _is_sane(settings: Settings) -> None:
    roots = (
        *settings.safety_volume_mount_allowlist,
        *settings.safety_volume_mount_blocklist,
        *(settings.safety_allowed_build_roots or ()),
    )
    for root in roots:
        path = root.removeprefix("engine:")
        if not re.match(r"[A-Za-z]:[\\/]|\\\\", path):
            assert posixpath.isabs(path), root
            assert posixpath.normpath("/" + path.lstrip("/")) != "/", root
    trusted = [ipaddress.ip_network(network) for network in settings.security_trusted_proxies]
    for version in (4, 6):
        for whole in ipaddress.collapse_addresses([each for each in trusted if each.version == version]):  # type: ignore[type-var]
            assert whole.prefixlen > 0, trusted
    for address in settings.safety_publish_host_ip:
        assert address == str(ipaddress.ip_address(address)), address
    for name in settings.safety_allowed_capabilities:
        assert name == name.upper().removeprefix("CAP_"), name
    for device in settings.safety_allowed_devices:
        assert device == posixpath.normpath(device), device
    assert not settings.security_oauth_enabled or (settings.security_oauth_issuer and settings.security_oauth_audience)
    assert 0 < settings.docker_timeout <= 86_400
    assert 0 < settings.safety_default_tool_timeout <= 86_400
    assert all(0 < seconds <= 86_400 for seconds in settings.safety_tool_timeouts.values())


def _as_json(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The lists in the other form that they may be written in."""
    lists = {name: getattr(settings, name.lower(), None) for name, value in environment.items() if value.strip()}
    return {name: json.dumps(items) for name, items in lists.items() if isinstance(items, tuple)}


def environment_in(text: str) -> dict[str, str]:
    """Lines `NAME=value`, as far as an environment can hold them."""
    plain = text.replace("\0", "").encode("utf-8", "ignore").decode()
    pairs = (line.partition("=") for line in plain.split("\n"))
    return {name: value for name, equals, value in pairs if name and equals}


def one(data: bytes) -> None:
    check(environment_in(text_in(data)))


if __name__ == "__main__":
    fuzz(one)
