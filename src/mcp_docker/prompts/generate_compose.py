"""Prompts: a Compose file that makes a container again."""

import re
from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.prompt import Plan, Prompt, Section
from mcp_docker.prompts.compose import places, service, written
from mcp_docker.prompts.compose.original import PRESET_NETWORKS, Original
from mcp_docker.prompts.compose.variables import Variables
from mcp_docker.prompts.inspected import PROJECT
from mcp_docker.redact.secrets import hide_text
from mcp_docker.tool import Context
from mcp_docker.tools.fields import ContainerId
from mcp_docker.tools.images.read import digests, tags

_FILE = "compose.yaml"
_ROOM = 4_096
# engines take any name for a network, and would be sent elsewhere by one with ../ in it
_PLAIN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class GenerateCompose(Prompt, shows=("docker_inspect_container",)):
    """Write a Compose file that makes a container again, with its secrets left out."""

    container_id: Annotated[ContainerId, Field(description="Name or id of the container to write down")]

    def run(self, ctx: Context) -> Plan:
        found = lookup.container(ctx.engine, self.container_id)
        facts = _Facts(ctx, found)
        original, secrets = facts.original, Variables()
        image, exact = facts.image_name()
        _, volumes, anonymous = places.volumes(original)
        _, networks = places.networks(original)
        described = service.service(original, image, secrets)
        tops = {"volumes": volumes, "networks": networks}
        file = written.dump(
            written.escaped(
                {"services": {original.service: described}} | {name: top for name, top in tops.items() if top}
            )
        )
        names = [name for name in secrets.names if f"${{{name}}}" in file]
        profile = service.security(original)[1]
        sections = [Section(title=_FILE, text=f"```yaml\n{file}```")]
        if names:
            sections.append(Section(title=".env", text="\n".join(f"{name}=" for name in names)))
        if profile:
            sections.append(Section(title="seccomp.json", text=profile))
        if anonymous:
            sections.append(Section(title="Paths with volumes that have no name", text="\n".join(anonymous)))
        if origin := original.all_labels.get("com.docker.compose.project.config_files"):
            sections.append(Section(title="The Compose file that made it", text=origin))
        hidden = sum(
            before != after for before, after in zip(file.split("\n"), hide_text(file).split("\n"), strict=True)
        )
        cut = 2 * sum(len(part.text.encode()) for part in sections) + _ROOM > ctx.limits.response_bytes
        return Plan(
            about=f"Write down the container {original.name} as a service of a Compose file that makes it again.",
            shown=[
                *_missing(cut=cut, hidden=hidden),
                *facts.shown(exact=exact),
                *_kept(volumes, networks, original, anonymous),
                *_not_carried(original),
            ],
            facts=sections,
            steps=_steps(ctx, original, names, described, profile=bool(profile)),
        )


class _Facts:
    """What the engine tells of a container besides its inspect, as far as the caller may see it."""

    def __init__(self, ctx: Context, found: dict[str, Any]) -> None:
        self._ctx = ctx
        self._tag = (found.get("Config") or {}).get("Image") or found.get("ImageName") or ""
        host = found.get("HostConfig") or {}
        modes = [str(host.get(name) or "") for name in ("NetworkMode", "IpcMode", "PidMode")]
        others = dict.fromkeys(mode.removeprefix("container:") for mode in modes if mode.startswith("container:"))
        networks = [
            name for name in (found.get("NetworkSettings") or {}).get("Networks") or {} if name not in PRESET_NETWORKS
        ]
        asked = [("container", name) for name in others]
        if "docker_inspect_network" in ctx.tools:
            asked += [("network", name) for name in networks if _PLAIN.fullmatch(name)]
        image = found.get("Image") or self._tag
        if self.sees_image:
            asked += [pair for pair in (("image", image), ("tag", self._tag)) if pair[1]]
        answers = dict(zip(asked, ctx.gather(self._answer, asked), strict=True))
        self._tagged = answers.get(("tag", self._tag)) or {}
        self.original = Original(
            found=found,
            image=answers.get(("image", image)) or {},
            info=ctx.engine.connected.info,
            names={
                name: str(answer["Name"]).lstrip("/")
                for (kind, name), answer in answers.items()
                if kind == "container" and answer
            },
            gone=frozenset(name for (kind, name), answer in answers.items() if kind == "network" and answer is None),
            is_podman=ctx.engine.connected.is_podman,
        )

    @property
    def sees_image(self) -> bool:
        return "docker_inspect_image" in self._ctx.tools

    def _answer(self, asked: tuple[str, str]) -> dict[str, Any] | None:
        """An inspect; None where the object is gone."""
        from docker.errors import NotFound

        kind, name = asked
        docker = self._ctx.engine.docker
        try:
            match kind:
                case "container":
                    answer: dict[str, Any] = docker.inspect_container(name)
                case "network":
                    answer = docker.inspect_network(name)
                case _:
                    answer = docker.inspect_image(name)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        except NotFound:
            return None
        return answer

    def image_name(self) -> tuple[str, bool]:
        """What the file calls the image, and whether that is the very image that the container was made from."""
        image, tag = self.original.image, self._tag
        own_id = str(self.original.found.get("Image") or "")
        bare = tag.removeprefix("sha256:")
        if tag and not (bare and own_id.removeprefix("sha256:").startswith(bare)):
            return tag, not self._tagged or self._tagged.get("Id") == image.get("Id")
        return next(iter(tags(image) + digests(image)), own_id or tag), True

    def shown(self, *, exact: bool) -> list[str]:
        """What the facts about the image mean for the file."""
        original, lines = self.original, []
        if not self.sees_image:
            lines.append("The image was not looked at, so the file repeats what the image may say by itself.")
        elif not original.image:
            lines.append(
                "The image is gone from the engine. What it said can't be told from what was set for the container, so "
                "the file has both, and `up` has to pull or build the image first."
            )
        elif not exact:
            lines.append(
                "The tag names another image by now than the one the container was made from: `up` starts the new one. "
                "To stay, give the old one a tag of its own and write that."
            )
        elif not (tags(original.image) or digests(original.image)):
            lines.append("The image has no name, only an id, which no other machine knows: tag it and write the tag.")
        return lines


def _missing(*, cut: bool, hidden: int) -> list[str]:
    lines = []
    if cut:
        lines.append(
            "The file is longer than an answer may be, and cut below: a larger SAFETY_MAX_RESPONSE_BYTES shows it all."
        )
    if hidden:
        lines.append(
            f"{hidden} lines of the file hold something that looks like a secret, shown as [REDACTED]: put it back."
        )
    return lines


def _kept(volumes: dict[str, Any], networks: dict[str, Any], original: Original, anonymous: list[str]) -> list[str]:
    lines = []
    if named := [name for name, top in volumes.items() if top and "name" not in top]:
        lines.append(f"External volumes, so that their data are used as they are: {', '.join(named)}.")
    if external := [name for name, top in networks.items() if top and top.get("external")]:
        lines.append(f"External networks, which exist already: {', '.join(external)}.")
    if gone := sorted(original.gone & set(original.attached)):
        lines.append(f"Networks that are gone, which `up` makes anew: {', '.join(gone)}.")
    if anonymous and original.host.get("AutoRemove"):
        lines.append("Its volumes without a name go with it, with their data; the new container gets empty ones.")
    elif anonymous:
        lines.append(
            f"Volumes without a name: {len(anonymous)}. The file names them by id, which keeps their data; without "
            "those lines the container begins with empty ones."
        )
    return lines


def _not_carried(original: Original) -> list[str]:
    host, lines = original.host, []
    if original.all_labels.get(PROJECT):
        lines.append(
            "Compose made it: the file it was made from is the better one to start from, where it still exists."
        )
    if original.all_labels.get("com.docker.swarm.task.id"):
        lines.append(
            "It is a task of a Swarm service, which replaces it when it is removed: change the service instead."
        )
    if host.get("AutoRemove"):
        lines.append("Compose has nothing for --rm: the container stays when it stops, until `docker compose down`.")
    if host.get("CpusetMems"):
        lines.append("Compose has nothing for --cpuset-mems.")
    preset = set((original.found.get("NetworkSettings") or {}).get("Networks") or {}) & PRESET_NETWORKS
    if preset and original.attached:
        lines.append("It is in the engine's preset network too, which a service can't share with others: left out.")
    elif preset:
        lines.append(
            "It is in the engine's preset network, where no names resolve. Without the line network_mode it gets a "
            "network of its own project, where they do."
        )
        if original.config.get("MacAddress"):
            lines.append(
                "Compose ignores mac_address beside network_mode on Docker 25 and newer, where the new container gets "
                "another one. Without the line network_mode it is kept."
            )
    return lines


def _steps(
    ctx: Context, original: Original, names: list[str], described: dict[str, Any], *, profile: bool
) -> list[str]:
    name = original.name
    running = bool((original.found.get("State") or {}).get("Running"))
    beside = (
        f", with seccomp.json{' and .env' if names else ''} beside it"
        if profile
        else ", with .env beside it" * bool(names)
    )
    steps = [f"Save {_FILE} in a folder of its own{beside}."]
    if names:
        steps.append(
            f"Have a person fill in the value{'s' * (len(names) > 1)} of .env, in single quotes: they are left out "
            f"here (`docker inspect {name}` has them on the engine's machine). Keep .env out of version control. Where "
            "the program can read a file instead (often a variable that ends in _FILE), Compose's `secrets` is the "
            "better place."
        )
    steps.append("`docker compose config --quiet` checks the file, variables included.")
    takes = "its name and its ports" if described.get("ports") else "its name"
    tools = [tool for tool in ("docker_stop_container",) if running] + ["docker_remove_container"]
    if all(tool in ctx.tools for tool in tools):
        how = f"{' and '.join(tools)} with volumes=false"
    else:
        how = f"a person does `{f'docker stop {name} && ' * running}docker rm {name}`"
    steps.append(
        f"Once the user agrees, remove {name}, which holds {takes}: {how}. What it wrote outside of its mounts goes "
        f"with it (`docker diff {name}` lists that); volumes stay."
    )
    check = "docker_inspect_container" + " and docker_container_logs" * ("docker_container_logs" in ctx.tools)
    steps.append(f"`docker compose up -d`, then look with {check} whether it runs as before.")
    return steps
