"""Docker's errors, translated once into ours."""

import json
import re
import traceback
from typing import TYPE_CHECKING

from loguru import logger

from mcp_docker import errors
from mcp_docker.engine import NO_ANSWER, CallScope, Engine, why
from mcp_docker.errors import Refused

if TYPE_CHECKING:
    import requests
    from docker.errors import APIError

_LISTS = {
    "container": "docker_list_containers",
    "image": "docker_list_images",
    "network": "docker_list_networks",
    "volume": "docker_list_volumes",
}

_OTHER_VERSION = r"client version \S+ is too (old|new)"
_OF_NETWORKS = r"\b(networks?|endpoints?)\b"
"""What Docker itself answers 403 about; of other things it is a plugin or a proxy that forbids them."""
_FORBIDDEN = "the engine, or a plugin or proxy in front of it, forbids this request; the operator decides."
_PAGE = re.compile(r"\s*<(!doctype|html)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")

_KINDS: tuple[tuple[str, type[Refused], str], ...] = (
    (
        _OTHER_VERSION,
        errors.Unsupported,
        "this engine speaks other versions of the API: call again if it was exchanged just now; the operator can "
        "choose one with DOCKER_API_VERSION, and a newer mcp-docker knows newer ones.",
    ),
    (
        r"authorization denied by plugin",
        errors.EngineError,
        _FORBIDDEN,
    ),
    (
        r"no space left on device",
        errors.EngineError,
        "the engine's disk is full: docker_prune_images or docker_prune_system can make room, or the operator.",
    ),
    (
        r"executable file not found|exec format error|executable .* not found|crun: .*\bexec(utable)?\b"
        r"|(\bexec:? \\*[\"/.]|\bchdir to\b).*(permission denied|no such file or directory|is a directory)",
        errors.BadParameter,
        "check command, entrypoint and working_dir: the image has no such program, or it can't be run.",
    ),
    (
        r"are you trying to mount",
        errors.BadParameter,
        "mount a folder where the image has a folder, and a file where it has a file.",
    ),
    (
        r"(oci runtime|container process|crun: ).*(mounting|mount `|cgroup|sysctl|\bhook)"
        r"|overlay mount|failed to mount",
        errors.EngineError,
        "the engine's host, or a mount or limit of the container, is at fault: check its mounts, limits and sysctls; "
        "the operator finds more in the engine's own log.",
    ),
    (
        r"unable to find (user|group)|no matching entries in (passwd|group)",
        errors.BadParameter,
        "the image has no such user or group: give one that it has, or a number.",
    ),
    (
        r"cannot remove .*(running|paused|restarting)",
        errors.Conflict,
        "docker_stop_container stops it first, or force=true kills and removes it.",
    ),
    (
        r"must be in created or stopped state",
        errors.Conflict,
        "docker_stop_container ends what is neither stopped nor running.",
    ),
    (
        r"container \S+ is not running|only create exec sessions on running|container state improper",
        errors.Conflict,
        "docker_start_container starts it.",
    ),
    (
        r"removal of container .* is already in progress",
        errors.Conflict,
        "it is being removed: docker_list_containers(all=true) shows when it is gone.",
    ),
    (
        r"pull access denied|unauthorized|authentication required|no basic auth|(?<!permission )denied:"
        r"|resource is denied",
        errors.RegistryDenied,
        'check the name; for a private repository the operator runs "docker login" for that registry.',
    ),
    (
        r"tag does not exist: |does not exist locally with the tag",
        errors.ImageNotFound,
        "docker_list_images shows the tags that are here; docker_tag_image gives an image another.",
    ),
    (
        r"dockerfile parse error|build target|target stage|specified dockerfile|the dockerfile .* cannot be empty",
        errors.BuildFailed,
        "correct the Dockerfile or the arguments.",
    ),
    (
        r"(manifest|tag|repository) .*(unknown|not found|not known)|not found: manifest|manifest unknown|name unknown",
        errors.NotFound,
        "check the image's name and tag.",
    ),
    (
        r"no such image|image not known|unable to find image",
        errors.ImageNotFound,
        "docker_pull_image fetches it; docker_list_images shows those that are here.",
    ),
    (
        r"pinging container registry|/v2/.*: |http response to https client|toomanyrequests|x509: ",
        errors.RegistryFailed,
        "check the registry's address, and that the engine's machine reaches it.",
    ),
    (
        r"referenced in (multiple|one or more) repositories|image used by more than one",
        errors.Conflict,
        "remove its tags one by one, or use force=true to remove all of them.",
    ),
    (
        r"has dependent child images|image used by .* children|image has dependent",
        errors.InUse,
        "other images are built on it: remove those first.",
    ),
    (
        r"pool overlaps|subnet .* is already used",
        errors.Conflict,
        "choose another subnet, or leave ipam out; docker_inspect_network shows which one a network has.",
    ),
    (
        r"^address already in use$|requested ip address .* is already allocated",
        errors.Conflict,
        "another container has this address; docker_inspect_network shows which are taken.",
    ),
    (
        r"endpoint with name .* already exists|already connected to network",
        errors.Conflict,
        "it is connected already; docker_disconnect_container first, to give it other addresses or aliases.",
    ),
    (
        r"is not connected to (the )?network",
        errors.Conflict,
        "docker_inspect_network shows which containers are connected.",
    ),
    (
        r"no such container",
        errors.NotFound,
        "docker_list_containers shows those that exist.",
    ),
    (
        r"unable to find network|network \S+ not found",
        errors.NotFound,
        "docker_list_networks shows those that exist.",
    ),
    (
        r"not a swarm manager",
        errors.Unsupported,
        "overlay networks need an engine in a swarm; use the driver 'bridge'.",
    ),
    (
        r"port is already allocated|address already in use|ports are not available",
        errors.PortTaken,
        "choose another host port; docker_list_containers shows which are published.",
    ),
    (
        r"(name .* is already in use|already exists|is in use by container)",
        errors.NameTaken,
        "choose another name, or use the one that exists.",
    ),
    (
        r"(in use|being used|active endpoints|has dependent child|is using its referenced|associated containers)",
        errors.InUse,
        "stop or remove what uses it first; docker_list_containers(all=true) shows containers.",
    ),
    (
        r"multiple ids found|ambiguous|matches more than one",
        errors.AmbiguousIdentifier,
        "give the whole name, or more digits of the id.",
    ),
)


def translate(error: BaseException, engine: Engine, scope: CallScope | None = None) -> Refused:
    """What an exception that left a tool means to a model.

    An engine that can't be reached is looked for anew at the next call.

    Args:
        scope: of the call; what the engine answered in it tells whether an exception is a fault of ours.
    """
    import docker.errors
    import requests
    import urllib3

    match error:
        case Refused():
            return error
        case docker.errors.APIError():
            return _api_error(error, engine)
        case docker.errors.DockerException():
            return errors.EngineError(_sentence(str(error)), "correct the arguments or the engine's set-up.")
        case json.JSONDecodeError() | docker.errors.StreamParseError():  # requests' own is one, too
            return _unreadable()
        case MemoryError():
            return errors.EngineError(
                "the engine's answer takes more memory than the server has",
                "ask for less, or the operator gives the server more.",
            )
        case requests.ReadTimeout() | TimeoutError():
            return _silent()
        case requests.RequestException() | urllib3.exceptions.HTTPError() | ConnectionError():
            if why(error) == NO_ANSWER:  # in the middle of an answer it does not come as a ReadTimeout
                return _silent()
            engine.forget()
            return errors.EngineUnreachable(
                f"the connection to the Docker Engine broke: {_sentence(why(error))}",
                "call again: it is looked for anew.",
            )
    if isinstance(error.__context__, requests.HTTPError):
        # docker-py looks for a message in every error, which not all have that answer in an engine's place
        return _api_error(_unworded(error.__context__), engine)
    return _unforeseen(error, engine, scope)


def is_certain(error: BaseException, scope: CallScope) -> bool:
    """Whether a call that ended in this surely failed: the engine refused the change, or docker-py did not ask for it.

    Args:
        scope: of the call; what could only not be read any more after a change says nothing of the change.
    """
    import docker.errors

    response = getattr(error, "response", None)
    was_reading = response is not None and response.request.method in ("GET", "HEAD")
    return isinstance(error, docker.errors.DockerException) and not (scope.changed and was_reading)


def kind_of(text: str) -> tuple[type[Refused], str] | None:
    """The error that an engine's words mean, and its hint; None if they are unknown."""
    lowered = text.lower()
    return next(((kind, hint) for pattern, kind, hint in _KINDS if re.search(pattern, lowered)), None)


def told(error: "APIError") -> str:
    """What an engine's error says, in one line; of a proxy's page only the text."""
    text = str(error.explanation or error)
    if _PAGE.match(text):
        text = _TAG.sub(" ", text).strip() or f"an empty page, with status {error.status_code}"
    return _sentence(text)


def _unworded(error: "requests.HTTPError") -> "APIError":
    """An error without a message in it, as docker-py makes of what is no JSON."""
    from docker.errors import APIError

    return APIError(str(error), response=error.response, explanation=error.response.text.strip())


def _unforeseen(error: BaseException, engine: Engine, scope: CallScope | None) -> Refused:
    """A fault of the engine's if it answered oddly, and of ours if not."""
    from mcp_docker.engine import shapes

    if odd := shapes.oddity(scope.answers if scope else (), engine.kept):
        logger.opt(exception=error).warning("The engine's answer is not as the Engine API says: {}", odd)
        return shapes.misshapen(odd)
    if _was_parsing(error):
        return _unreadable()
    return errors.InternalError(
        f"{type(error).__name__} inside mcp-docker", "this is a fault of the server; its log has the details."
    )


def _was_parsing(error: BaseException) -> bool:
    """Whether it was JSON that Python does not take, such as a number of 5,000 digits, or a line nested too deep."""
    modules = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return modules[-1:] == [json.decoder.__name__]


def _unreadable() -> Refused:
    return errors.EngineError("the engine's answer is not what it should be", "call again, or check the engine.")


def _silent() -> Refused:
    return errors.TimedOut("the engine did not answer in time (DOCKER_TIMEOUT)", "try again, or check the engine.")


def _api_error(error: "APIError", engine: Engine) -> Refused:
    text = told(error)
    lowered = text.lower()
    if re.search(_OTHER_VERSION, lowered):  # another engine is there by now
        engine.forget()
    if known := kind_of(text):
        kind, hint = known
        return kind(text, hint)
    match error.status_code:
        case 404:
            named = next((listing for word, listing in _LISTS.items() if word in lowered), "")
            return errors.NotFound(text, f"{named} shows those that exist." if named else "check the name.")
        case 400:
            return errors.BadParameter(text, "correct the arguments and call again.")
        case 403 if not re.search(_OF_NETWORKS, str(error.explanation).lower()):
            return errors.EngineError(text, _FORBIDDEN)
        case 403 | 409:
            return errors.Conflict(text, "inspect the object: its state does not allow this.")
        case 405 | 501:
            return errors.Unsupported(text, "this engine can't do it.")
    return errors.EngineError(text, f"the engine answered {error.status_code}.")


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".;")[:2_000]
