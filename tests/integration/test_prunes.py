"""Prunes and removals on a real engine take what the engine's own would, and what was looked at. Each test narrows
everything to its own label."""

import io
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from mcp_docker.confirm import Question, Reply
from mcp_docker.tools.system import prune
from tests.conftest import code_of, data_of
from tests.e2e.process import eventually
from tests.integration.conftest import IMAGE, Run, remove

Lost = list[tuple[str, str]]


def bare(image_id: str) -> str:
    return image_id.removeprefix("sha256:")


def lost(answer: dict[str, Any]) -> Lost:
    return [(each["kind"], bare(each["id"])) for each in answer["would_lose"]]


@pytest.fixture
def labels(label: str) -> dict[str, str]:
    key, _, value = label.partition("=")
    return {key: value}


@pytest.fixture
def name() -> str:
    return f"mcp-docker-test-{uuid.uuid4().hex[:12]}"


Make = Callable[..., str]


@pytest.fixture
def image(raw: docker.APIClient, label: str, labels: dict[str, str]) -> Iterator[Make]:
    """Build an image that carries the label, with these tags, on another image; its id."""

    def make(*tags: str, on: str = IMAGE, **more: str) -> str:
        mine = uuid.uuid4().hex
        packed = io.BytesIO()
        lines = [f"FROM {on}", "COPY file /", *(f"LABEL {key}={value}" for key, value in (labels | more).items())]
        lines.append(f"LABEL mine={mine}")
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in {"Dockerfile": "\n".join(lines).encode(), "file": mine.encode() * 64}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        packed.seek(0)
        told = list(raw.build(fileobj=packed, custom_context=True, rm=True, forcerm=True))
        found = raw.images(filters={"label": [f"mine={mine}"]})
        assert len(found) == 1, told
        for tag in tags:
            raw.tag(found[0]["Id"], tag.partition(":")[0], tag.partition(":")[2])
        return str(found[0]["Id"])

    yield make
    wanted = {"label": [label]}
    for container in raw.containers(all=True, filters=wanted):
        remove(raw.remove_container, container["Id"], force=True, v=True)
    while found := raw.images(filters=wanted):
        # the steps of its build go along with an image
        raw.remove_image(found[0]["Id"], force=True)


FILTERS: list[dict[str, str | list[str]]] = [
    {},
    {"label": "a"},
    {"label": "a=1"},
    {"label": ["a", "b"]},
    {"label!": "a"},
    {"label!": "a=1"},
    {"label": "b", "label!": "a=2"},
]
VARIANTS: list[dict[str, str]] = [{}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}, {"a": "2", "b": "1"}]


def merged(label: str, filters: dict[str, Any]) -> dict[str, list[str]]:
    wanted = {key: [value] if isinstance(value, str) else list(value) for key, value in filters.items()}
    return wanted | {"label": [label, *wanted.get("label", [])]}


@pytest.mark.parametrize("filters", FILTERS)
def test_labels_mean_what_they_mean_to_the_engine_s_own_prunes(
    run: Run,
    raw: docker.APIClient,
    label: str,
    labels: dict[str, str],
    container: Make,
    filters: dict[str, Any],
    is_podman: bool,
) -> None:
    for variant in VARIANTS:
        container(start=False, labels=variant)
        raw.create_network(f"mcp-docker-test-{uuid.uuid4().hex[:12]}", labels=labels | variant)
    wanted = merged(label, filters)
    looked = data_of(run("docker_prune_system", filters=wanted, dry_run=True))
    ours = {kind: sorted(each["name"] for each in looked["would_lose"] if each["kind"] == kind) for kind in KINDS}
    if is_podman:
        # of several labels, its own prune takes what has any
        gone = data_of(run("docker_prune_system", filters=wanted))["removed"]
        assert (len(gone["containers"]), sorted(gone["networks"])) == (len(ours["container"]), ours["network"])
        return
    named = {each["Id"]: each["Names"][0].lstrip("/") for each in raw.containers(all=True, filters={"label": [label]})}
    theirs = {
        "container": sorted(named[each] for each in pruned(raw, "containers", wanted)),
        "network": sorted(pruned(raw, "networks", wanted)),
    }
    assert ours == theirs


KINDS = ("container", "network")


def pruned(raw: docker.APIClient, what: str, filters: dict[str, list[str]]) -> list[str]:
    """What the engine's own prune removes."""
    answer: dict[str, Any] = getattr(raw, f"prune_{what}")(filters=filters)
    return answer[f"{what.capitalize()}Deleted"] or []


def test_volumes_go_as_in_the_engine_s_own_prune(
    run: Run, raw: docker.APIClient, label: str, labels: dict[str, str], name: str, is_podman: bool
) -> None:
    for number, variant in enumerate(VARIANTS):
        raw.create_volume(f"{name}-{number}", labels=labels | variant)
    raw.create_volume(f"{name}-options", driver_opts={"type": "tmpfs", "device": "tmpfs"}, labels=labels)
    wanted = merged(label, {"label!": "a=1"})
    looked = data_of(run("docker_prune_volumes", all=True, filters=wanted, dry_run=True))
    ours = sorted(each["name"] for each in looked["would_lose"])
    assert ours == [f"{name}-{number}" for number in (0, 2, 3, 5)]
    if not is_podman:
        # old engines take named ones without being asked
        every = {"all": ["true"]} if raw.api_version != "1.41" else {}
        assert sorted(raw.prune_volumes(filters=wanted | every)["VolumesDeleted"]) == ours


def test_images_go_as_in_the_engine_s_own_prune(
    run: Run, raw: docker.APIClient, label: str, image: Make, name: str, labels: dict[str, str], is_podman: bool
) -> None:
    untagged, other = image(), image(a="1")
    image(f"{name}:1", f"{name}:2")
    used = image(f"{name}-used:1")
    raw.create_container(used, ["x"], labels=labels)
    for every in (False, True):
        arguments: dict[str, Any] = {"all": every, "filters": {"label": label, "label!": "a"}}
        ours = {image_id for _, image_id in lost(data_of(run("docker_prune_images", **arguments, dry_run=True)))}
        if is_podman:
            deleted = data_of(run("docker_prune_images", **arguments))["deleted"]
            gone = [each for each in deleted if is_image(each, ours)]
        else:
            filters = {"label": [label], "label!": ["a"], "dangling": [str(not every).lower()]}
            pruned = raw.prune_images(filters=filters)["ImagesDeleted"]  # type: ignore[no-untyped-call]
            gone = [each["Deleted"] for each in pruned if "Deleted" in each and is_image(each["Deleted"], ours)]
        assert {bare(each) for each in gone} == ours
        assert every or ours == {bare(untagged)}
    assert raw.inspect_image(other)["Id"] == other  # type: ignore[no-untyped-call]
    assert raw.inspect_image(used)["Id"] == used  # type: ignore[no-untyped-call]


def is_image(deleted: str, images: set[str]) -> bool:
    """Engines tell of layers and of the steps of builds too."""
    return bare(deleted) in images


def test_an_age_means_the_same_to_the_fraction_of_a_second(
    run: Run, raw: docker.APIClient, label: str, container: Make, is_podman: bool
) -> None:
    for _ in range(3):
        container(start=False)
    times = sorted(
        raw.inspect_container(each["Id"])["Created"] for each in raw.containers(all=True, filters={"label": [label]})
    )
    filters = {"label": label, "until": times[1]}
    looked = data_of(run("docker_prune_system", filters=filters, dry_run=True))
    ours = sorted(each["id"] for each in looked["would_lose"])
    assert len(ours) == 2
    if not is_podman:
        own = {"label": [label], "until": [times[1]]}
        assert sorted(pruned(raw, "containers", own)) == ours


def test_a_prune_takes_what_a_dry_run_said(
    run: Run, raw: docker.APIClient, label: str, labels: dict[str, str], container: Make, image: Make, name: str
) -> None:
    anonymous = raw.create_volume(None, labels=labels)["Name"]
    dangling = image()
    host = {"binds": [f"{anonymous}:/data"], "network_mode": name}
    raw.create_network(name, labels=labels)
    stopped = container(start=False, host=host, volumes=["/data"])
    running = container()
    arguments: dict[str, Any] = {"filters": {"label": label}, "volumes": True}
    looked = data_of(run("docker_prune_system", dry_run=True, **arguments))
    assert [kind for kind, _ in lost(looked)] == ["container", "network", "volume", "image"]
    assert looked["would_free_bytes"] > 0
    assert raw.inspect_container(stopped)["Id"] == stopped
    gone = data_of(run("docker_prune_system", **arguments))
    assert "failed" not in gone
    assert gone["removed"]["containers"] == [stopped]
    assert gone["removed"]["networks"] == [name]
    assert gone["removed"]["volumes"] == [anonymous]
    assert bare(dangling) in map(bare, gone["removed"]["images"])
    assert raw.inspect_container(running)["Id"] == running


def test_a_network_that_a_stopped_container_needs(
    run: Run, raw: docker.APIClient, label: str, labels: dict[str, str], name: str, container: Make, is_podman: bool
) -> None:
    raw.create_network(name, labels=labels)
    container(start=False, host={"network_mode": name}, labels={"keep": ""}, name=name)
    looked = data_of(run("docker_prune_system", filters={"label": label, "label!": "keep"}, dry_run=True))
    told = [(each["kind"], each["about"]) for each in looked["would_lose"]]
    assert told == ([] if is_podman else [("network", f"{name} (created) needs it to start")])


def test_what_starts_after_a_person_agreed_stays(run: Run, raw: docker.APIClient, label: str, container: Make) -> None:
    going, started = container(start=False), container(start=False)

    asked: list[str] = []

    async def agree(question: Question) -> Reply:
        asked.append(question.message)
        raw.start(started)
        return Reply("accept")

    gone = data_of(run("docker_prune_system", filters={"label": label}, ask=agree))
    # what is lost has changed meanwhile, so it is asked again
    assert [message.count("container") for message in asked] == [2, 1]
    assert gone["removed"]["containers"] == [going]
    assert raw.inspect_container(started)["State"]["Running"]


def test_a_removal_by_name_keeps_an_image_that_has_another(run: Run, image: Make, name: str) -> None:
    image_id = image(f"{name}:1", f"{name}:2")
    looked = data_of(run("docker_remove_image", image=f"{name}:1", dry_run=True))
    assert [(each["kind"], each["bytes"]) for each in looked["would_lose"]] == [("tag", 0)]
    assert code_of(run("docker_remove_image", image=image_id)) == "CONFLICT"
    assert data_of(run("docker_remove_image", image=f"{name}:1"))["deleted"] == []
    looked = data_of(run("docker_remove_image", image=f"{name}:2", dry_run=True))
    assert lost(looked) == [("image", bare(image_id))]
    assert looked["would_free_bytes"] > 0
    assert bare(image_id) in map(bare, data_of(run("docker_remove_image", image=f"{name}:2"))["deleted"])


def test_an_id_with_force_takes_all_tags(run: Run, raw: docker.APIClient, image: Make, name: str) -> None:
    image_id = image(f"{name}:1", f"{name}:2")
    looked = data_of(run("docker_remove_image", image=bare(image_id)[:12], force=True, dry_run=True))
    assert lost(looked) == [("image", bare(image_id))]
    assert f"{name}:1" in looked["would_lose"][0]["about"]
    run("docker_remove_image", image=image_id, force=True)
    with pytest.raises(docker.errors.NotFound):
        raw.inspect_image(image_id)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("running", [False, True])
def test_force_takes_what_it_says_from_under_a_container(
    run: Run,
    raw: docker.APIClient,
    labels: dict[str, str],
    image: Make,
    name: str,
    is_podman: bool,
    *,
    running: bool,
) -> None:
    image_id = image(f"{name}:1")
    user = raw.create_container(image_id, ["sleep", "300"], labels=labels)["Id"]
    if running:
        raw.start(user)
    assert code_of(run("docker_remove_image", image=f"{name}:1")) == "IN_USE"
    looked = lost(data_of(run("docker_remove_image", image=f"{name}:1", force=True, dry_run=True)))
    answer = data_of(run("docker_remove_image", image=f"{name}:1", force=True))
    gone = [("container", each) for each in [user] if not exists(raw, each)]
    if not any(bare(image_id) == bare(each["Id"]) for each in raw.images(all=True)):
        gone.append(("image", bare(image_id)))
    assert answer["untagged"] or is_podman
    if is_podman:
        assert set(gone) <= set(looked)
    elif running:
        assert (looked, gone) == ([("tag", bare(image_id))], [])
    else:
        assert looked == gone == [("image", bare(image_id))]


def exists(raw: docker.APIClient, container_id: str) -> bool:
    return any(each["Id"] == container_id for each in raw.containers(all=True))


def test_an_image_that_another_is_built_on_loses_its_name_only(
    run: Run, raw: docker.APIClient, image: Make, name: str, label: str, is_podman: bool
) -> None:
    below = image(f"{name}:below")
    above = image(on=f"{name}:below", keep="")
    # Podman removes the image, and what is in it stays in the other
    expected = [("image" if is_podman else "tag", bare(below))]
    assert lost(data_of(run("docker_remove_image", image=f"{name}:below", dry_run=True))) == expected
    filters = {"label": label, "label!": "keep"}
    looked = data_of(run("docker_prune_images", all=True, filters=filters, dry_run=True))
    assert (lost(looked), looked["would_free_bytes"]) == (expected, 0)
    pruned = data_of(run("docker_prune_images", all=True, filters=filters))
    assert [tag.rpartition("/")[2] for tag in pruned["untagged"]] == [f"{name}:below"]
    assert (bare(below) in map(bare, pruned["deleted"])) is is_podman
    assert raw.inspect_image(above)["Id"] == above  # type: ignore[no-untyped-call]
    pruned = data_of(run("docker_prune_images", filters={"label": label}))
    assert bare(above) in map(bare, pruned["deleted"])
    assert not raw.images(all=True, filters={"label": [label]})


@pytest.fixture
def cached(raw: docker.APIClient, name: str, is_podman: bool) -> str:
    """What the descriptions of BuildKit's records hold that a build of this test alone has left."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        content = f"FROM {IMAGE}\nRUN echo {name} > /a\nRUN echo {name} > /b\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    if not is_podman:
        headers = {"Content-Type": "application/x-tar"}
        address = f"{raw.base_url}/v{raw.api_version}/build?version=2&buildid={name}&t={name}"
        raw.post(address, data=packed.getvalue(), headers=headers, timeout=60)
        raw.remove_image(name)
    return name


def test_build_cache_goes_record_by_record(
    run: Run, raw: docker.APIClient, cached: str, is_podman: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_podman:
        assert data_of(run("docker_prune_system", filters={"label": cached}))["skipped"] == {
            "build_cache": "Podman has none"
        }
        return
    # nothing else is looked at, since it would go too
    monkeypatch.setattr("mcp_docker.tools.system.prune._is_meant", lambda *_: False)
    monkeypatch.setattr("mcp_docker.tools.system.prune._networks", lambda *_: [])
    monkeypatch.setattr("mcp_docker.tools.images.remove.unused", lambda *_, **__: [])
    records = prune._records
    monkeypatch.setattr(
        "mcp_docker.tools.system.prune._records",
        lambda *arguments: [each for each in records(*arguments) if cached in each.name],
    )

    def built() -> list[dict[str, Any]]:
        return [each for each in raw.df()["BuildCache"] if cached in each["Description"]]

    # the builder lets go of what it has made a moment after its answer
    eventually(lambda: not any(each["InUse"] for each in built()))
    mine = [each["ID"] for each in built()]
    assert len(mine) == 2
    answer = data_of(run("docker_prune_system"))
    assert (set(answer["removed"]["build_cache"]), answer.get("failed")) == (set(mine), None)
    assert answer["reclaimed_bytes"]["build_cache"] > 0
    left = {each["ID"] for each in raw.df()["BuildCache"]}
    assert not left & set(mine)
