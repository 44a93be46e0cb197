"""docker_remove_image and docker_prune_images."""

from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

A, B, C, D, E = (f"sha256:{digits * 32}" for digits in ("a1", "b2", "c3", "d4", "e5"))
DIGEST = "sha256:" + "99" * 32


def image(image_id: str, *tags: str, **more: Any) -> dict[str, Any]:
    """An image as a listing has it."""
    return {
        "Id": image_id,
        "RepoTags": list(tags) or ["<none>:<none>"],
        "RepoDigests": more.pop("digests", None) or ["<none>@<none>"],
        "ParentId": more.pop("parent", ""),
        "Labels": more.pop("labels", None),
        "Created": more.pop("created", 1_700_000_000),
        "Size": 10,
    } | more


def container(image_id: str, name: str = "web", state: str = "exited") -> dict[str, Any]:
    return {
        "Id": name.encode().hex().ljust(64, "0"),
        "Names": [f"/{name}"],
        "ImageID": image_id,
        "Image": "app",
        "State": state,
        "Created": 1_700_000_000,
        "Labels": {"c": "1"},
    }


class Store:
    """Images that an engine has, which removals change as they do there."""

    def __init__(self, engine: FakeEngine, *images: dict[str, Any], users: list[dict[str, Any]] | None = None) -> None:
        self.images = {each["Id"]: each for each in images}
        self.users = users or []
        self.deleted: list[str] = []
        engine.on("GET", "/images/json", lambda _: list(self.images.values()))
        engine.on("GET", "/containers/json", lambda _: self.users)
        engine.on("GET", "/images/.+/json", self.inspect)
        engine.on("DELETE", "/images/.+", self.remove)
        sizes = [{"Id": each["Id"], "Size": 10, "SharedSize": 3} for each in images]
        engine.on("GET", "/system/df", {"Images": sizes})

    def find(self, name: str) -> dict[str, Any] | None:
        full = name if ":" in name.rpartition("/")[2] else name + ":latest"
        for each in self.images.values():
            names = each["RepoTags"] + each["RepoDigests"]
            if (
                full in names
                or name in names
                or each["Id"].removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
            ):
                return each
        return None

    def inspect(self, request: Request) -> Any:
        found = self.find(request.path.removeprefix("/images/").removesuffix("/json"))
        if found is None:
            return 404, {"message": "No such image"}
        shown = {name: value for name, value in found.items() if name not in ("Labels", "ParentId")}
        shown |= {"RepoTags": [tag for tag in found["RepoTags"] if "<none>" not in tag]}
        shown |= {"RepoDigests": [digest for digest in found["RepoDigests"] if "<none>" not in digest]}
        return shown | {"Config": {"Labels": found["Labels"]}, "Created": "2023-11-14T22:13:20.5Z"}

    def remove(self, request: Request) -> Any:
        name = request.path.removeprefix("/images/")
        self.deleted.append(name)
        found = self.find(name)
        if found is None:
            return 404, {"message": f"No such image: {name}"}
        if any(user["ImageID"] == found["Id"] for user in self.users):
            return 409, {"message": "conflict: container 1 is using its referenced image"}
        gone = [name] if name in found["RepoTags"] + found["RepoDigests"] else []
        for names in (found["RepoTags"], found["RepoDigests"]):
            names[:] = [each for each in names if each not in gone and "<none>" not in each]
        removed = [{"Untagged": each} for each in gone]
        if not found["RepoTags"] + found["RepoDigests"] and not any(
            each["ParentId"] == found["Id"] for each in self.images.values()
        ):
            removed += [{"Deleted": ""}, *self.drop(found)]
        return removed

    def drop(self, image: dict[str, Any]) -> list[dict[str, str]]:
        """The image goes, and with it what it was built on, unless that has a name or another child."""
        del self.images[image["Id"]]
        gone = [{"Deleted": image["Id"]}]
        parent = self.images.get(image["ParentId"])
        if parent and "<none>" in str(parent["RepoTags"]):
            gone += self.drop(parent)
        return gone


def lost(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], each["name"]) for each in answer["would_lose"]]


def test_a_removal_reports_what_the_engine_removed(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "app:v1"))
    answer = data_of(run("docker_remove_image", image="app:v1", force=True, noprune=True))
    assert answer == {"untagged": ["app:v1"], "deleted": [A]}
    (request,) = engine.sent("DELETE", ".*")
    assert request.query == {"force": "True", "noprune": "True"}
    assert store.deleted == ["app:v1"]


def test_a_dry_run_of_a_removal_only_reads(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1", labels={"a": "b"}))
    assert data_of(run("docker_remove_image", image="app:v1", dry_run=True)) == {
        "would_lose": [{"kind": "image", "id": A, "name": "app:v1", "about": "tagged app:v1", "bytes": 7}],
        "would_free_bytes": 7,
    }
    assert {request.method for request in engine.requests} == {"GET"}


@pytest.mark.parametrize("written", ["app", "app:latest", "docker.io/library/app", "docker.io/app:latest"])
def test_a_name_goes_alone_where_the_image_has_another(engine: FakeEngine, run: Run, written: str) -> None:
    Store(engine, image(A, "app:latest", "app:v1"))
    engine.on("GET", f"/images/{written}/json", {"Id": A, "RepoTags": ["app:latest", "app:v1"], "Created": "x"})
    answer = data_of(run("docker_remove_image", image=written, dry_run=True))
    assert answer["would_free_bytes"] == 0
    (each,) = answer["would_lose"]
    assert (each["kind"], each["name"]) == ("tag", "app:latest")
    assert each["about"] == "the image stays: it is app:v1 too"
    assert engine.sent("GET", "/system/df") == []


def test_with_a_repository_s_last_tag_its_digests_go_and_others_keep_the_image(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1", digests=[f"app@{DIGEST}"]), image(B, "web:v1", digests=[f"other:5000/w@{DIGEST}"]))
    assert lost(data_of(run("docker_remove_image", image="app:v1", dry_run=True))) == [("image", "app:v1")]
    assert lost(data_of(run("docker_remove_image", image="web:v1", dry_run=True))) == [("tag", "web:v1")]


def test_a_digest_is_a_name_too(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1", digests=[f"app@{DIGEST}"]), image(B, digests=[f"web@{DIGEST}"]))
    one = data_of(run("docker_remove_image", image=f"app@{DIGEST}", dry_run=True))
    assert lost(one) == [("tag", f"app@{DIGEST}")]
    (other,) = data_of(run("docker_remove_image", image=f"web@{DIGEST}", dry_run=True))["would_lose"]
    assert (other["kind"], other["name"], other["about"]) == ("image", "<none>", "untagged, once of web")


def test_an_id_with_several_tags_is_refused_or_takes_all_of_them(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1", "app:v2"))
    for written in (A, A.removeprefix("sha256:")[:12]):
        result = run("docker_remove_image", image=written)
        assert code_of(result) == "CONFLICT"
        assert "several tags: app:v1, app:v2;" in result.text
        assert "force=true" in result.text
        (each,) = data_of(run("docker_remove_image", image=written, force=True, dry_run=True))["would_lose"]
        assert (each["kind"], each["name"], each["about"]) == ("image", "app:v1, app:v2", "tagged app:v1, app:v2")
    assert engine.sent("DELETE", ".*") == []


def test_a_beginning_of_an_id_that_is_too_short_is_refused(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1"))
    assert code_of(run("docker_remove_image", image=A.removeprefix("sha256:")[:8])) == "INEXACT_IDENTIFIER"
    assert engine.sent("DELETE", ".*") == []


@pytest.mark.parametrize("written", ["app:v1", A])
def test_an_image_in_use_stays_and_its_containers_are_named(engine: FakeEngine, run: Run, written: str) -> None:
    Store(engine, image(A, "app:v1"), users=[container(A, "web"), container(A, "db", "created"), container(B)])
    result = run("docker_remove_image", image=written)
    assert code_of(result) == "IN_USE"
    assert "used by db (created), web (exited);" in result.text
    assert "force=true: they are stopped" in result.text
    (each,) = data_of(run("docker_remove_image", image=written, force=True, dry_run=True))["would_lose"]
    assert each["about"] == "tagged app:v1; used by db (created), web (exited)"


def test_only_the_first_of_many_containers_are_named(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1"), users=[container(A, f"c{number:02}") for number in range(23)])
    assert "c19 (exited) and 3 more;" in run("docker_remove_image", image="app:v1").text


def test_under_a_running_container_force_takes_the_name_only(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1"), users=[container(A, state="running")])
    assert "force" not in run("docker_remove_image", image="app:v1").text
    (each,) = data_of(run("docker_remove_image", image="app:v1", force=True, dry_run=True))["would_lose"]
    assert (each["kind"], each["about"]) == ("tag", "the image stays without a name: used by web (running)")
    result = run("docker_remove_image", image=A, force=True)
    assert code_of(result) == "IN_USE"
    assert "used by web (running); remove those first" in result.text


def test_an_image_that_others_are_built_on_loses_its_name_only(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1"), image(B, "web:v1", parent=A))
    (each,) = data_of(run("docker_remove_image", image="app:v1", dry_run=True))["would_lose"]
    assert (each["kind"], each["about"]) == ("tag", "the image stays without a name: 1 other images are built on it")
    assert code_of(run("docker_remove_image", image=A)) == "IN_USE"


def test_a_name_that_means_another_image_by_now_is_left(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "app:v1"), image(B))

    def moved(_: Request) -> Any:
        store.images[A]["RepoTags"], store.images[B]["RepoTags"] = [], ["app:v1"]
        return {"Images": None}

    engine.on("GET", "/system/df", moved)
    assert code_of(run("docker_remove_image", image="app:v1")) == "CONFLICT"
    assert store.deleted == []


def test_an_image_that_is_not_there_is_not_found(engine: FakeEngine, run: Run) -> None:
    Store(engine)
    assert code_of(run("docker_remove_image", image="app:v1")) == "IMAGE_NOT_FOUND"


@pytest.mark.parametrize(
    ("message", "code", "advice"),
    [
        (
            "conflict: unable to remove repository reference (must force) - container 1 is using its referenced image",
            "IN_USE",
            "docker_list_containers",
        ),
        (
            "conflict: unable to delete 1 (must be forced) - image is referenced in multiple repositories",
            "CONFLICT",
            "force=true",
        ),
        ("conflict: unable to delete 1 (cannot be forced) - image has dependent child images", "IN_USE", "built on it"),
    ],
)
def test_a_removal_that_is_refused_says_what_to_do(
    engine: FakeEngine, run: Run, message: str, code: str, advice: str
) -> None:
    Store(engine, image(A, "app:latest"))
    engine.on("DELETE", "/images/.*", {"message": message}, 409)
    result = run("docker_remove_image", image="app")
    assert code_of(result) == code
    assert advice in result.text


def test_podman_loses_the_containers_too_when_forced(engine: FakeEngine, run: Run) -> None:
    engine.be_podman()
    names = ["docker.io/library/app:v1"]
    Store(engine, image(A, *names, digests=[f"docker.io/library/app@{DIGEST}"]), users=[container(A, state="running")])
    engine.on("GET", "/images/app:v1/json", {"Id": A.removeprefix("sha256:"), "RepoTags": names, "Created": "x"})
    answer = data_of(run("docker_remove_image", image="app:v1", force=True, dry_run=True))
    assert lost(answer) == [("container", "web"), ("image", names[0])]
    assert answer["would_lose"][0]["about"] == "running, of app"
    assert code_of(run("docker_remove_image", image="app:v1")) == "IN_USE"


def test_a_prune_takes_untagged_images_that_nothing_needs(engine: FakeEngine, run: Run) -> None:
    store = Store(
        engine,
        image(A),
        image(B, "app:v1"),
        image(C),
        image(D, digests=[f"app@{DIGEST}"]),
        image(E),
        image("sha256:" + "f6" * 32, "child:v1", parent=E),
        users=[container(C)],
    )
    answer = data_of(run("docker_prune_images"))
    assert answer == {"untagged": [f"app@{DIGEST}"], "deleted": [A, D], "bytes_reclaimed": 14}
    assert store.deleted == [A, f"app@{DIGEST}"]
    assert all(request.query == {"force": "False", "noprune": "False"} for request in engine.sent("DELETE", ".*"))
    assert engine.sent("POST", ".*") == []
    (listing,) = engine.sent("GET", "/images/json")
    assert listing.query["all"] == "1"


def test_a_prune_of_nothing_is_two_requests(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1"))
    assert data_of(run("docker_prune_images")) == {"untagged": [], "deleted": [], "bytes_reclaimed": 0}
    assert [request.path for request in engine.requests] == ["/containers/json", "/images/json"]


def test_all_takes_tagged_ones_that_no_container_uses_by_each_of_their_tags(engine: FakeEngine, run: Run) -> None:
    store = Store(
        engine, image(A, "app:v1", "app:v2"), image(B, "web:v1"), image(C), users=[container(B, state="running")]
    )
    answer = data_of(run("docker_prune_images", all=True))
    assert answer == {"untagged": ["app:v1", "app:v2"], "deleted": [A, C], "bytes_reclaimed": 14}
    assert store.deleted == ["app:v1", "app:v2", C]


def test_a_dry_run_of_a_prune_says_what_each_is(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "app:v1", "app:v2"), image(C))
    answer = data_of(run("docker_prune_images", all=True, dry_run=True))
    assert answer["would_lose"] == [
        {"kind": "image", "id": A, "name": "app:v1, app:v2", "about": "tagged app:v1, app:v2", "bytes": 7},
        {"kind": "image", "id": C, "name": "<none>", "about": "untagged", "bytes": 7},
    ]
    assert answer["would_free_bytes"] == 14
    assert {request.method for request in engine.requests} == {"GET"}


def test_children_go_before_what_they_are_built_on(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "base:v1"), image(B, parent=A), image(C, "app:v1", parent=B))
    assert data_of(run("docker_prune_images", all=True))["deleted"] == [C, B, A]
    assert store.deleted == ["app:v1", "base:v1"]


def test_the_steps_of_its_own_build_count_as_an_image_s_own_bytes(engine: FakeEngine, run: Run) -> None:
    Store(
        engine,
        image(A, "base:v1", Size=1_000),
        image(B, parent=A, Size=1_200),
        image(C, "app:v1", parent=B, Size=1_250),
        image(D, parent=B, Size=1_207),
        image(E, Size=7, parent="sha256:" + "f6" * 32),
        image("sha256:" + "f6" * 32, Size=7),
        users=[container(A)],
    )
    answer = data_of(run("docker_prune_images", all=True, dry_run=True))
    assert {each["id"]: each["bytes"] for each in answer["would_lose"]} == {C: 50, D: 7, E: 7}
    assert engine.sent("GET", "/system/df") == []


def test_an_image_whose_base_is_not_told_is_weighed_by_the_engine(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, parent=B))
    assert data_of(run("docker_prune_images", dry_run=True))["would_free_bytes"] == 7


def test_what_stays_keeps_what_it_is_built_on_and_only_the_name_goes(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "base:v1"), image(B, parent=A), image(C, "app:v1", parent=B), users=[container(C)])
    (each,) = data_of(run("docker_prune_images", all=True, dry_run=True))["would_lose"]
    assert (each["kind"], each["name"]) == ("tag", "base:v1")
    answer = data_of(run("docker_prune_images", all=True))
    assert answer == {"untagged": ["base:v1"], "deleted": [], "bytes_reclaimed": 0}
    assert A in store.images


def test_a_step_of_a_build_that_a_container_uses_keeps_what_it_is_built_on(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A, "base:v1"), image(B, parent=A), image(C, parent=B), users=[container(B)])
    answer = data_of(run("docker_prune_images", all=True, dry_run=True))
    assert lost(answer) == [("image", "<none>"), ("tag", "base:v1")]


def test_filters_are_judged_here(engine: FakeEngine, run: Run) -> None:
    store = Store(
        engine,
        image(A, labels={"a": "1"}, created=1_000),
        image(B, labels={"a": "1", "keep": ""}, created=1_000),
        image(C, created=1_000),
        image(D, labels={"a": "1"}, created=3_000),
    )
    run("docker_prune_images", filters={"label": "a=1", "label!": "keep", "until": "2000"})
    assert store.deleted == [A]
    assert all("filters" not in request.query for request in engine.requests)


@pytest.mark.parametrize(("until", "gone"), [("1700000000.4", []), ("1700000000.5", [A]), ("1700000000.6", [A])])
def test_of_the_same_second_the_fraction_counts(engine: FakeEngine, run: Run, until: str, gone: list[str]) -> None:
    store = Store(engine, image(A))
    run("docker_prune_images", filters={"until": until})
    assert store.deleted == gone


def test_an_image_that_vanishes_while_it_is_looked_at_is_no_error(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A))
    engine.on("GET", "/images/.+/json", {"message": "No such image"}, 404)
    engine.on("GET", "/images/json", [image(A)])
    assert data_of(run("docker_prune_images", filters={"until": "1700000000.5"}))["deleted"] == []


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ([], ["new:v1"], "[CONFLICT] it is new:v1 by now;"),
        (["app:v1"], ["app:v1", "new:v1"], "[CONFLICT] it is new:v1 by now;"),
        (["app:v1"], [], "[NOT_FOUND] it has lost its name"),
        (["app:v1"], None, "[IMAGE_NOT_FOUND]"),
    ],
)
def test_an_image_that_changed_meanwhile_stays(
    engine: FakeEngine, run: Run, before: list[str], after: list[str] | None, code: str
) -> None:
    store = Store(engine, image(A, *before), image(B))

    def change(_: Request) -> Any:
        if after is None:
            del store.images[A]
        else:
            store.images[A]["RepoTags"] = after
        return {"Images": None}

    engine.on("GET", "/system/df", change)
    answer = data_of(run("docker_prune_images", all=True))
    assert answer["deleted"] == [B]
    assert "bytes_reclaimed" not in answer
    (problem,) = answer["failed"].values()
    assert problem.startswith(code)
    assert store.deleted == [B]


def test_an_image_that_a_new_container_uses_stays_and_that_is_told(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "app:v1"), image(B))

    def use(_: Request) -> Any:
        store.users.append(container(A))
        return {"Images": None}

    engine.on("GET", "/system/df", use)
    answer = data_of(run("docker_prune_images", all=True))
    assert (answer["deleted"], list(answer["failed"])) == ([B], ["app:v1"])
    assert answer["failed"]["app:v1"].startswith("[IN_USE]")


def test_an_image_that_loses_its_name_and_stays_is_told(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A, "app:v1"))

    def build(_: Request) -> Any:
        store.images[B] = image(B, parent=A)
        return {"Images": None}

    engine.on("GET", "/system/df", build)
    answer = data_of(run("docker_prune_images", all=True))
    assert (answer["untagged"], answer["deleted"]) == (["app:v1"], [])
    assert answer["failed"]["app:v1"].startswith("[IN_USE] it stays without a name;")


def test_digests_of_other_repositories_go_with_the_tags(engine: FakeEngine, run: Run) -> None:
    other = "cd" * 32
    store = Store(engine, image(A, "app:v1", digests=[f"far/app@{DIGEST}", f"far/app@sha256:{other}"]))
    assert data_of(run("docker_prune_images", all=True))["deleted"] == [A]
    assert store.deleted == ["app:v1", f"far/app@{DIGEST}", f"far/app@sha256:{other}"]


def test_an_image_that_went_with_another_is_not_removed_twice(engine: FakeEngine, run: Run) -> None:
    store = Store(engine, image(A), image(B))
    engine.on("DELETE", f"/images/{A}", [{"Deleted": A}, {"Deleted": B}])
    answer = data_of(run("docker_prune_images"))
    assert (answer["deleted"], answer.get("failed")) == ([A, B], None)
    assert store.deleted == []


def test_podman_s_digests_are_no_names_and_its_ids_are_bare(engine: FakeEngine, run: Run) -> None:
    engine.be_podman()
    Store(engine, image(A, digests=[f"app@{DIGEST}"]), image(B), users=[container(B.removeprefix("sha256:"))])
    engine.on("DELETE", f"/images/{A}", [{"Deleted": A.removeprefix("sha256:")}])
    answer = data_of(run("docker_prune_images", filters={"label!": ["x"]}))
    assert answer == {"untagged": [], "deleted": [A.removeprefix("sha256:")], "bytes_reclaimed": 7}


def test_podman_removes_an_image_from_under_others_and_does_not_tell_of_it(engine: FakeEngine, run: Run) -> None:
    engine.be_podman()
    store = Store(engine, image(A, "base:v1"), image(B, "app:v1", parent=A), users=[container(B)])

    def remove(_: Request) -> Any:
        del store.images[A]
        return [{"Untagged": "base:v1"}]

    engine.on("DELETE", "/images/base:v1", remove)
    answer = data_of(run("docker_prune_images", all=True, dry_run=True))
    assert [(each["kind"], each["bytes"]) for each in answer["would_lose"]] == [("image", 0)]
    assert data_of(run("docker_prune_images", all=True)) == {
        "untagged": ["base:v1"],
        "deleted": [A],
        "bytes_reclaimed": 0,
    }


def test_a_listing_that_fails_since_an_image_goes_is_asked_for_again(engine: FakeEngine, run: Run) -> None:
    Store(engine, image(A))
    answers = iter([(404, {"message": "locating image: image not known"}), (200, [image(A)])])
    engine.on("GET", "/images/json", lambda _: next(answers))
    assert data_of(run("docker_prune_images"))["deleted"] == [A]


@pytest.mark.parametrize("name", ["dangling", "refrence"])
def test_a_filter_that_an_engine_might_ignore_is_refused(engine: FakeEngine, run: Run, name: str) -> None:
    result = run("docker_prune_images", filters={name: "x"})
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "use label, label!, until" in result.text
    assert engine.requests == []


def test_the_argument_that_earlier_versions_had_is_refused_with_what_replaced_it(engine: FakeEngine, run: Run) -> None:
    assert "all=true prunes tagged images too" in run("docker_prune_images", force_all=True).text
    assert engine.requests == []
