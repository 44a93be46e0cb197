"""Which folders images are built from."""

import os
import re
from pathlib import Path

from mcp_docker.engine import Engine, address
from mcp_docker.engine.context import resolved
from mcp_docker.errors import BuildRefused
from mcp_docker.policy.mounts import CREDENTIALS, ON_THE_ENGINE
from mcp_docker.settings import Settings

_SETTING = "SAFETY_ALLOWED_BUILD_ROOTS"

# patterns of whole paths in lower case, since some file systems don't tell case apart
_NEVER = re.compile(
    r"(/private)?/(proc|sys|dev|run|etc|boot|var/run|var/lib/(docker|containerd|containers))(/.*)?"
    r"|[a-z]:\\windows(\\.*)?"
)
_HOMES = re.compile(
    r"(/var)?/root|/(home|users|export/home|var/home)(/[^/]+)?|[a-z]:\\users(\\[^\\]+)?|[a-z]:\\documents and settings"
)
_SYSTEM = re.compile(
    r"/private|(/private)?(/|/tmp|/var|/etc)"
    r"|/(opt|srv|mnt|media|volumes|snap|nix|lost\+found)"
    r"|/(bin|sbin|lib(32|64|x32|exec)?|system|library|applications|cores|usr(?!(/local)?/src/.)|snap|nix/.)(/.*)?"
    r"|(/private)?/var/(?!tmp/.|www/.|folders/.|home/.).*"
    r"|[a-z]:\\?|[a-z]:\\program ?(files|data)[^\\]*(\\.*)?"
)


def build_root(settings: Settings, value: str, engine: Engine) -> str:  # noqa: ARG001 - the form of a rule
    """The rule of Power.BUILD_ROOT: the folder, resolved, is below one that the operator allows."""
    folder = resolved(value)
    if _never(folder):
        raise BuildRefused(
            f"the build context {folder!r} is in a folder of the system or of credentials",
            "no setting allows it; copy what is needed to a folder of its own.",
        )
    allowed = settings.safety_allowed_build_roots
    if allowed is not None:
        roots = [root for each in allowed if (root := _root(each))]
        if any(Path(folder).is_relative_to(root) for root in roots):
            return folder
        raise BuildRefused(
            f"the build context {folder!r} is outside the folders of {_SETTING}",
            f"build below {', '.join(map(repr, roots))}, or the operator adds to {_SETTING}."
            if roots
            else "it names none; the operator adds the folder there.",
        )
    here = os.path.realpath(Path.cwd())
    if reason := unfit(here):
        raise BuildRefused(
            f"the build context {folder!r} is not allowed, as the server's working directory {here!r} is {reason}",
            f"{_SETTING}={folder} allows it, or start the server in the project's folder.",
        )
    if not Path(folder).is_relative_to(here):
        raise BuildRefused(
            f"the build context {folder!r} is outside the server's working directory {here!r}",
            f"{_SETTING}={folder} allows it.",
        )
    return folder


def unfit(folder: str) -> str:
    """Why a working directory is no build root by default; empty if it is one."""
    lowered = folder.lower()
    if _never(folder) or _SYSTEM.fullmatch(lowered):
        return "a folder of the system"
    if _HOMES.fullmatch(lowered) or _is_home(folder):
        return "a home folder"
    return ""


def _never(folder: str) -> bool:
    lowered = folder.lower()
    if _NEVER.fullmatch(lowered):
        return True
    parts = Path(lowered).parts
    return any(name in CREDENTIALS or "/".join(parts[at : at + 2]) in CREDENTIALS for at, name in enumerate(parts))


def _root(written: str) -> str | None:
    """An allowed root, resolved; none if it is all there is."""
    if written.startswith(ON_THE_ENGINE):  # contexts are read here
        return None
    root = os.path.realpath(written)
    return None if Path(root) == Path(root).parent else root


def _is_home(folder: str) -> bool:
    """Whether it is a user's home, or holds that of the user whom the server runs as."""
    own, others = list(filter(None, [address.home()])), []
    if hasattr(os, "getuid"):
        import pwd

        users = pwd.getpwall()
        own += [Path(user.pw_dir) for user in users if user.pw_uid == os.getuid()]
        others = [user.pw_dir for user in users]
    return folder in others or any(
        Path(os.path.realpath(home)).is_relative_to(folder) for home in own if home.is_absolute()
    )
