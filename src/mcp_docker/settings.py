"""Every option once: name, type, default, help. Environment, --env-file and CONFIGURATION.md derive from it."""

import difflib
import ipaddress
import itertools
import json
import os
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mcp_docker.env_file import check
from mcp_docker.errors import SettingsError


def _paired(value: Any) -> Any:
    """A mapping written as `name=value,name=value` or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return _json(value)
    return dict(item.split("=", 1) if "=" in item else (item, "") for item in _listed(value))


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None


def _listed(value: Any) -> Any:
    """A list written with commas or as JSON; `[]` is the empty list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [item for part in value.split(",") if (item := part.strip())]


def _object(value: Any) -> Any:
    return _json(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


def _roots(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        path = value.removeprefix("engine:")
        if not PurePosixPath(path).is_absolute() and not PureWindowsPath(path).is_absolute():
            raise ValueError(f"{value!r} is not an absolute path")
        if os.path.normpath(path).strip("/\\") in ("", ".") or re.fullmatch(r"[a-zA-Z]:[\\/]*", path):
            raise ValueError(f"{value!r} is the whole file system: name the folders that are meant")
        if value.startswith("engine:") and ".." in PurePosixPath(path).parts:
            raise ValueError(f"{value!r} holds '..', which can't be resolved on another machine")
    return values


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network("" if "%" in value else value)  # networks have no zone
        except ValueError:
            raise ValueError(f"{value!r} is no network: write 10.0.0.0/8, 192.168.1.7 or fd00::/8") from None
    return values


_ALL_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Every address of IPv4 as one of IPv6 (RFC 4291, 2.5.5.2)."""


def _not_everything(values: tuple[str, ...]) -> tuple[str, ...]:
    found = [ipaddress.ip_network(value) for value in values]
    # two halves are everything, too
    four = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))
    if 0 in [one.prefixlen for one in four] or any(_ALL_MAPPED.subnet_of(one) for one in six):
        raise ValueError("everything can't be trusted: anybody could then claim any address")
    return values


def _capability(value: str) -> str:
    name = re.sub("^(CAP_)+", "", value.upper())
    if not re.fullmatch("[A-Z][A-Z_]+", name):
        raise ValueError(f"{value!r} is no capability: write NET_ADMIN")
    return name


def _address(value: str) -> str:
    if "%" not in value:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            pass
    raise ValueError(f"{value!r} is no single address: write 192.168.1.7, fd00::7 or 0.0.0.0")


def _as_asked(spelt: Callable[[str], str]) -> AfterValidator:
    """Values in the one spelling of many that tools ask for: others would never match."""
    return AfterValidator(lambda values: tuple(map(spelt, values)))


Networks = Annotated[Names, AfterValidator(_networks)]
Roots = Annotated[Names, AfterValidator(_roots)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """The operator's choices. An environment variable is a field's name in capitals.

    Built by `load`, which also refuses names that nobody knows.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    docker_base_url: str | None = Field(
        None, description="Address of the engine; goes before `DOCKER_HOST` and contexts"
    )
    docker_timeout: Seconds = Field(60, description="Seconds that one request to the engine may take")
    docker_tls_verify: bool = Field(False, description="Use TLS, and check the engine's certificate")
    docker_tls_ca_cert: Path | None = Field(None, description="CA certificate that signed the engine's")
    docker_tls_client_cert: Path | None = Field(None, description="Client certificate")
    docker_tls_client_key: Path | None = Field(None, description="Key of the client certificate")
    docker_host: str | None = Field(None, description="Docker's own: address of the engine")
    docker_context: str | None = Field(None, description="Docker's own: name of the context to use")
    docker_config: Path | None = Field(None, description="Docker's own: folder of `config.json` and contexts")
    docker_cert_path: Path | None = Field(None, description="Docker's own: folder of `ca.pem`, `cert.pem`, `key.pem`")
    docker_api_version: str | None = Field(
        None,
        pattern=r"^v?1\.\d{1,3}$",
        description="Docker's own: API version to speak instead of the engine's newest",
    )

    safety_allow_moderate_operations: bool = Field(
        True, description="Switch on the tools that change things (MODERATE)"
    )
    safety_allow_destructive_operations: bool = Field(
        False, description="Switch on the tools that lose things (DESTRUCTIVE); needs MODERATE too"
    )
    safety_allow_privileged_containers: bool = Field(
        False,
        description="Permit privileged containers and exec, host namespaces, added capabilities, security options",
    )
    safety_allowed_tools: Names | None = Field(None, description="Only these tools; unset: all of the allowed tiers")
    safety_denied_tools: Names = Field((), description="Never these tools; wins over the list above")
    safety_allowed_prompts: Names | None = Field(None, description="Only these prompts; unset: all")
    safety_allowed_resources: Names | None = Field(
        None, description="Only these resources (`container_logs`, `container_stats`); unset: all"
    )
    safety_default_tool_timeout: Seconds = Field(
        30, description="Seconds a call may take, for tools without their own limit"
    )
    safety_tool_timeouts: Annotated[dict[str, Seconds], NoDecode, BeforeValidator(_paired)] = Field(
        default_factory=dict,
        description="Seconds by tool, as `docker_pull_image=900,docker_build_image=1800`",
    )
    safety_max_response_bytes: int = Field(
        1_048_576,
        ge=4_096,
        le=67_108_864,
        description="Bytes of one answer; what is cut is said, and how to get the rest",
    )

    safety_publish_host_ip: Annotated[Names, _as_asked(_address)] = Field(
        (), description="Addresses of the host, besides loopback, on which containers may publish ports"
    )
    safety_allowed_capabilities: Annotated[Names, _as_asked(_capability)] = Field(
        (), description="Capabilities that containers may add, as `NET_ADMIN`"
    )
    safety_allowed_devices: Annotated[Names, _as_asked(posixpath.normpath)] = Field(
        (), description="Devices of the host that containers may use, as `/dev/dri`"
    )
    safety_allowed_sysctls: Names = Field(
        (), description="Kernel parameters that containers may set, as `net.core.somaxconn`"
    )
    safety_allowed_runtimes: Names = Field((), description="Runtimes that containers may be run with, as `nvidia`")
    safety_volume_mount_allowlist: Roots = Field(
        (),
        description="Folders of the host below which containers may mount; read-only unless the caller writes `:rw`. "
        "`engine:/srv/data` is a folder on an engine whose file system can't be seen from here: only its text is "
        "compared",
    )
    safety_volume_mount_blocklist: Roots = Field(
        (), description="Folders of the host that are never mounted, besides those that never are"
    )
    safety_allowed_volume_drivers: Names = Field((), description="Volume drivers besides `local`")
    safety_allowed_volume_options: Names = Field(
        (), description="Volume options that may be set, as `size` (any value) or `type=tmpfs`"
    )
    safety_allowed_build_roots: Roots | None = Field(
        None,
        description="Folders below which images may be built; unset: the working directory, unless that is `/`, a home "
        "or a system folder",
    )
    safety_build_secret_files: Names = Field(
        (),
        description="Files that look like secrets and are sent with a build all the same, by path within the context",
    )
    safety_max_build_context_bytes: int = Field(
        1_073_741_824, ge=1_024, le=1_099_511_627_776, description="Bytes of a build context"
    )
    safety_allowed_registries: Names | None = Field(
        None,
        description="Registries to pull from, as `host[:port][/prefix]`; unset: the public ones below, and those of "
        "Docker's own configuration that have no private address",
    )
    safety_allowed_push_registries: Names = Field((), description="Registries to push to; the same form")
    safety_protected_labels: Names = Field(
        (), description="Objects with one of these labels are never changed: `name` or `name=value`"
    )
    safety_confirmation: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether a person is asked before something is lost: where the client can ask (`auto`), or else "
        "refused (`always`), or never",
    )
    safety_redact_secrets: bool = Field(True, description="Replace what looks like a secret in everything that is told")
    safety_yolo_mode: bool = Field(
        False,
        description="Lift the policy on arguments, and confirmation; tiers, lists, identifiers, bounds, redaction and "
        "audit stay",
    )

    security_audit_log_enabled: bool = Field(True, description="Write one JSON line per call")
    security_audit_log_file: Path | None = Field(
        None, description="The audit log; unset: `audit.jsonl` in the user's state folder"
    )
    security_audit_log_max_bytes: int = Field(
        52_428_800,
        ge=65_536,
        le=10_737_418_240,
        description="Bytes at which the audit log is moved aside; ten are kept",
    )

    security_allowed_hosts: Names | None = Field(
        None,
        description="Host headers that are answered over HTTP, as `mcp.example.com` or `localhost:*`; unset: loopback",
    )
    security_allowed_origins: Names | None = Field(
        None, description="Origins of browser clients, as `https://app.example.com`; unset: loopback"
    )
    security_allowed_client_ips: Networks | None = Field(
        None, description="Networks that clients may come from, as `10.0.0.0/8`; unset: all"
    )
    security_trusted_proxies: Annotated[Networks, AfterValidator(_not_everything)] = Field(
        (), description="Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed"
    )
    security_public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="Address of `/mcp` as clients write it, for which tokens are issued; unset: the audience if that "
        "is an address, or else where it listens",
    )
    security_rate_limit_enabled: bool = Field(True, description="Limit calls over HTTP")
    security_rate_limit_rpm: int = Field(600, ge=1, le=1_000_000, description="Calls a minute, for each caller")
    security_rate_limit_concurrent: int = Field(16, ge=1, le=10_000, description="Calls in flight, for each caller")
    security_pre_auth_rate_limit_rpm: int = Field(
        10, ge=1, le=1_000_000, description="Failed authentications a minute, for each address"
    )
    security_rate_limit_storage: str = Field(
        "memory://", description="Where calls are counted; `redis://host:6379` for several replicas"
    )
    security_oauth_enabled: bool = Field(False, description="Ask HTTP clients for a token; needs issuer and audience")
    security_oauth_issuer: str | None = Field(None, description="Issuer of tokens, exactly as its tokens name it")
    security_oauth_audience: Names = Field((), description="What tokens must be issued for: one of these")
    security_oauth_jwks_url: str | None = Field(
        None, description="Where the issuer's keys are; unset: as its metadata says"
    )
    security_oauth_introspection_url: str | None = Field(
        None, description="Have the issuer judge each token there (RFC 7662), instead of checking signatures"
    )
    security_oauth_client_id: str | None = Field(None, description="As whom to ask there")
    security_oauth_client_secret: SecretStr | None = Field(None, description="And with which secret")
    security_oauth_client_secret_file: Path | None = Field(None, description="File that holds the secret")
    security_oauth_required_scopes: Names = Field(
        (), description="Scopes that every token must have; unset: the one for SAFE tools"
    )
    security_oauth_read_scope: str = Field("docker:read", description="Scope for SAFE tools")
    security_oauth_write_scope: str = Field("docker:write", description="Scope for MODERATE tools")
    security_oauth_destroy_scope: str = Field("docker:destroy", description="Scope for DESTRUCTIVE tools")
    security_oauth_groups_claim: str | None = Field(
        None, description="Claim with the caller's groups or roles, as `groups` or `realm_access.roles`"
    )
    security_oauth_group_tools: Annotated[dict[str, tuple[str, ...]], NoDecode, BeforeValidator(_object)] = Field(
        default_factory=dict,
        description='Tools by group, as `{"ops":["docker_list_containers"]}`; who is in none of them gets no tools',
    )
    security_oauth_clock_skew_seconds: int = Field(60, ge=0, le=600, description="Seconds by which clocks may differ")
    security_state_key: SecretStr | None = Field(
        None, description="At least 32 characters that all replicas share: it seals what clients carry between calls"
    )
    security_state_key_file: Path | None = Field(None, description="File that holds them")

    mcp_server_name: str = Field("mcp-docker", min_length=1, max_length=64, description="Name told to clients")
    mcp_log_level: Annotated[
        Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = Field("INFO", description="Least level of the log on standard error")
    mcp_json_logging: bool = Field(False, description="Log as JSON lines")
    mcp_debug_mode: bool = Field(False, description="Log at DEBUG, with tracebacks")

    @model_validator(mode="after")
    def _token_can_be_judged(self) -> Self:
        if self.security_oauth_enabled and not (self.security_oauth_issuer and self.security_oauth_audience):
            raise ValueError("SECURITY_OAUTH_ENABLED needs SECURITY_OAUTH_ISSUER and SECURITY_OAUTH_AUDIENCE")
        if self.security_oauth_introspection_url and not self.security_oauth_client_id:
            raise ValueError("SECURITY_OAUTH_INTROSPECTION_URL needs SECURITY_OAUTH_CLIENT_ID and a secret")
        for name in ("security_oauth_client_secret", "security_state_key"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise ValueError(f"{name.upper()} and {name.upper()}_FILE say the same: set one of them")
        return self

    def secret(self, name: str) -> str | None:
        """A secret setting, also where it is kept in a file: `secret("security_state_key")`.

        Raises:
            SettingsError: the file can't be read, or is empty.
        """
        value, file = getattr(self, name), getattr(self, f"{name}_file")
        if file is None:
            return value.get_secret_value() if value else None
        try:
            text = str(file.read_text(encoding="utf-8")).strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError([f"{name.upper()}_FILE: {file} can't be read ({type(problem).__name__})"]) from None
        if not text:
            raise SettingsError([f"{name.upper()}_FILE: {file} is empty"])
        return text

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}


_OTHERS = frozenset(
    """
    DOCKER_BUILDKIT DOCKER_CLI_EXPERIMENTAL DOCKER_CLI_HINTS DOCKER_CONTENT_TRUST DOCKER_CONTENT_TRUST_SERVER
    DOCKER_CUSTOM_HEADERS DOCKER_DEFAULT_PLATFORM DOCKER_HIDE_LEGACY_COMMANDS DOCKER_TLS
    """.split()
)
"""Docker's own variables that are no near miss of ours."""


def load(env_file: Path | None = None, **flags: Any) -> Settings:
    """Read the settings: flags, then the environment, then `env_file`.

    A variable that is set but blank counts as unset.

    Raises:
        SettingsError: a value or a line of the file that does not parse, an unknown `SAFETY_` or `SECURITY_` variable,
            or a near miss of a `DOCKER_` or `MCP_` one (those prefixes belong to others too); names that differ in
            nothing but their case.
    """
    present = dict(os.environ)
    problems = _twice(present)
    if env_file is not None:
        check(env_file, Settings.model_fields)
        written = {name: value or "" for name, value in dotenv_values(env_file).items()}
        problems += _twice(written)
        present = {**written, **present}
    problems += [problem for name in sorted(present) if (problem := _unknown(name))]
    try:
        settings = Settings(_env_file=env_file, **flags)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            name, *rest = [str(part) for part in detail["loc"]] or [""]
            where = name.upper() + "".join(f"[{part}]" for part in rest)
            message = str(detail["msg"]).removeprefix("Value error, ")
            problems.append(f"{where}: {message}" if where else message)
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _twice(written: Mapping[str, str]) -> list[str]:
    names = (name for name, value in written.items() if value and name.lower() in Settings.model_fields)
    ours = sorted(names, key=lambda name: (name.upper(), name))
    pairs = ((one, other) for one, other in itertools.pairwise(ours) if one.upper() == other.upper())
    return [f"{one}: {other} is the same setting; set one of them" for one, other in pairs]


def _unknown(name: str) -> str:
    known = {field.upper() for field in Settings.model_fields}
    # the case of a name does not matter
    meant = name.upper()
    ours = meant.startswith(("SAFETY_", "SECURITY_"))
    if meant in known or meant in _OTHERS or not (ours or meant.startswith(("DOCKER_", "MCP_"))):
        return ""
    nearest = difflib.get_close_matches(meant, known, n=1, cutoff=0.6 if ours else 0.9)
    if not nearest:
        return f"{name}: there is no such setting; CONFIGURATION.md lists them" if ours else ""
    return f"{name}: there is no such setting; did you mean {nearest[0]}?"
