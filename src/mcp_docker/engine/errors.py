"""Docker's errors, translated once into ours."""

import re
from typing import TYPE_CHECKING

from mcp_docker import errors
from mcp_docker.engine import Engine, why
from mcp_docker.errors import Refused

if TYPE_CHECKING:
    from docker.errors import APIError

_LISTS = {
    "container": "docker_list_containers",
    "image": "docker_list_images",
    "network": "docker_list_networks",
    "volume": "docker_list_volumes",
}

_KINDS: tuple[tuple[str, type[Refused], str], ...] = (
    (
        r"(pull access denied|unauthorized|authentication required|no basic auth|denied:)",
        errors.RegistryDenied,
        'check the name; for a private repository the operator runs "docker login" for that registry.',
    ),
    (
        r"(manifest|tag|repository) .*(unknown|not found)|not found: manifest",
        errors.NotFound,
        "check the image's name and tag.",
    ),
    (
        r"no such image|image not known|unable to find image",
        errors.ImageNotFound,
        "docker_pull_image fetches it; docker_list_images shows those that are here.",
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
        errors.BadParameter,
        "give the whole name, or more digits of the id.",
    ),
)


def translate(error: BaseException, engine: Engine) -> Refused:
    """What an exception that left a tool means to a model.

    An engine that can't be reached is looked for anew at the next call.
    """
    import docker.errors
    import requests
    import urllib3

    match error:
        case Refused():
            return error
        case docker.errors.APIError():
            return _api_error(error)
        case docker.errors.DockerException():
            return errors.EngineError(_sentence(str(error)), "correct the arguments or the engine's set-up.")
        case requests.ReadTimeout() | TimeoutError():
            return errors.TimedOut(
                "the engine did not answer in time (DOCKER_TIMEOUT)", "try again, or check the engine."
            )
        case requests.RequestException() | urllib3.exceptions.HTTPError() | ConnectionError():
            engine.forget()
            return errors.EngineUnreachable(
                f"the connection to the Docker Engine broke: {_sentence(why(error))}",
                "call again: it is looked for anew. A change that was under way may have happened.",
            )
    return errors.InternalError(
        f"{type(error).__name__} inside mcp-docker", "this is a fault of the server; its log has the details."
    )


def _api_error(error: "APIError") -> Refused:
    text = _sentence(str(error.explanation or error))
    lowered = text.lower()
    for pattern, kind, hint in _KINDS:
        if re.search(pattern, lowered):
            return kind(text, hint)
    match error.status_code:
        case 404:
            named = next((listing for word, listing in _LISTS.items() if word in lowered), "")
            return errors.NotFound(text, f"{named} shows those that exist." if named else "check the name.")
        case 400:
            return errors.BadParameter(text, "correct the arguments and call again.")
        case 403 | 409:
            return errors.Conflict(text, "inspect the object: its state does not allow this.")
        case 405 | 501:
            return errors.Unsupported(text, "this engine can't do it.")
    return errors.EngineError(text, f"the engine answered {error.status_code}.")


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".;")[:2_000]
