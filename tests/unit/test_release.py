"""What a release says of itself: server.json, the bundle's form, one-click links, the pages of the documentation."""

import base64
import importlib
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from docker.utils.build import exclude_paths

from mcp_docker import __version__
from mcp_docker.settings import Settings, load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of release/, which is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"release.{name}")

    return module


def _page(release: Any) -> str:
    """README.md, as pyproject.toml has it changed for the package's page."""
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    page = (ROOT / "README.md").read_text()
    for each in hook["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(each["pattern"], each["replacement"], page)
    return page.replace("$HFPR_VERSION", release("project").VERSION)


def test_the_generated_files_are_up_to_date(release: Any) -> None:
    assert release("manifests").main(["--check"]) == 0


def test_server_json_tells_the_version_of_the_package(release: Any, tmp_path: Path) -> None:
    bundle = tmp_path / f"mcp-docker-{__version__}.mcpb"
    bundle.write_bytes(b"bundle")
    for told in (release("manifests").server_json(), release("manifests").server_json(bundle)):
        assert told["version"] == __version__
        assert told["packages"][0]["version"] == __version__


def test_the_registry_finds_its_mark_in_the_text_that_the_package_shows(release: Any) -> None:
    assert f"<!-- mcp-name: {release('project').SERVER_NAME} -->" in _page(release)


def test_what_the_page_of_the_package_links_to_is_the_repository_as_it_was_released(release: Any) -> None:
    slug, page = release("project").SLUG, _page(release)
    assert "](CONFIGURATION.md)" in (ROOT / "README.md").read_text()
    assert f"](https://github.com/{slug}/blob/v{__version__}/CONFIGURATION.md)" in page
    assert f'src="https://raw.githubusercontent.com/{slug}/v{__version__}/docs/screenshots/stats-light.png"' in page
    assert release("artifacts").page_problems(page) == []


@pytest.mark.parametrize("part", ["[a](docs/a.md)", '<img src="a.png">', "[a](/a)", '<a href="../a">a</a>'])
def test_a_link_that_leads_nowhere_on_the_page_of_the_package_is_found(release: Any, part: str) -> None:
    assert len(release("artifacts").page_problems(_page(release) + part)) == 1
    assert len(release("artifacts").page_problems("")) == 1


def test_every_address_of_the_project_is_of_one_repository(release: Any) -> None:
    project = release("project")
    owner, name = project.SLUG.split("/")
    for address in project.PROJECT["urls"].values():
        assert address.startswith((project.REPOSITORY, f"https://{owner.lower()}.github.io/{name}/")) or (
            address == f"https://{owner}.github.io/{name}/"
        )


def test_the_link_for_cursor_decodes_to_the_entry_that_readme_shows(release: Any) -> None:
    asked = parse_qs(urlsplit(release("manifests").cursor_link()).query)
    assert asked["name"] == ["docker"]
    assert json.loads(base64.b64decode(asked["config"][0])) == {"command": "uvx", "args": ["mcp-docker"]}


def test_the_link_for_vs_code_decodes_to_the_command_line_that_readme_shows(release: Any) -> None:
    (target,) = parse_qs(urlsplit(release("manifests").vscode_link()).query)["url"]
    kind, _, config = target.partition("?")
    assert kind == "vscode:mcp/install"
    (shown,) = re.findall(r"--add-mcp '(\{.*?\})'", (ROOT / "README.md").read_text())
    assert json.loads(unquote(config)) == json.loads(shown)


def test_the_form_of_the_bundle_left_as_it_is_changes_nothing(release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = release("manifests").manifest()
    form, handed_on = made["user_config"], made["server"]["mcp_config"]["env"]
    assert set(form) == {name.lower() for name in handed_on} == set(Settings.model_fields) & set(form)
    # the tests' own
    monkeypatch.delenv("SECURITY_AUDIT_LOG_FILE", raising=False)
    untouched = load(None)
    for name, placeholder in handed_on.items():
        (key,) = re.fullmatch(r"\$\{user_config\.(\w+)\}", placeholder).groups()  # type: ignore[union-attr]
        default = form[key]["default"]
        monkeypatch.setenv(name, str(default).lower() if isinstance(default, bool) else str(default))
    assert load(None).model_dump() == untouched.model_dump()


def test_secrets_would_be_masked_in_the_form(release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = release("manifests")
    monkeypatch.setitem(manifests.FORM, "security_oauth_client_secret", "Secret")
    assert manifests.manifest()["user_config"]["security_oauth_client_secret"]["sensitive"] is True
    assert manifests.server_json()["packages"][0]["environmentVariables"][-1]["isSecret"] is True


def test_the_bundle_holds_the_package_and_the_locked_versions(release: Any, tmp_path: Path) -> None:
    release("bundle").assemble(tmp_path / "bundle")
    project = tomllib.loads((tmp_path / "bundle/pyproject.toml").read_text())
    assert project["project"]["version"] == __version__
    # where there is no Python, uv fetches the newest of these
    assert project["project"]["requires-python"] == ">=3.11,<3.15"
    locked = (ROOT / "requirements/run.txt").read_text()
    pins = project["tool"]["uv"]["constraint-dependencies"]
    assert len(pins) == len(re.findall(r"(?m)^[a-z0-9]", locked))
    assert all(pin in locked for pin in pins)
    assert (tmp_path / "bundle/src/mcp_docker/schemas.json").exists()
    assert not list((tmp_path / "bundle").rglob("__pycache__"))


def test_a_release_needs_the_tag_the_repository_and_a_date(
    release: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changelog, slug = release("changelog"), release("project").SLUG
    monkeypatch.setattr(changelog, "newest", lambda: (__version__, "unreleased", "* News."))
    assert changelog.main([]) == 0
    assert capsys.readouterr().out == "* News.\n"
    assert changelog.main([f"v{__version__}", slug]) == 1
    monkeypatch.setattr(changelog, "newest", lambda: (__version__, "2026-01-31", "* News."))
    assert changelog.main([f"v{__version__}", slug]) == 0
    assert changelog.main(["v0.0.1", slug]) == 1
    assert changelog.main([f"v{__version__}", "someone/else"]) == 1
    monkeypatch.setattr(changelog, "newest", lambda: ("0.0.1", "2026-01-31", "* News."))
    assert changelog.main([]) == 1


def test_the_image_that_fuzz_targets_are_made_in_gets_all_that_they_are_made_of() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    targets = [path for path in (ROOT / "tests/fuzz").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    taken = {str(path.relative_to(ROOT)) for path in targets}
    taken |= {".clusterfuzzlite/build.sh", "requirements/fuzz.txt", "src/mcp_docker/cli.py", "tests/__init__.py"}
    assert len(targets) > 100
    assert taken <= exclude_paths(str(ROOT), rules)


@pytest.mark.parametrize(
    "fetched",
    [
        '<script src="https://cdn.example.com/a.js"></script>',
        '<img alt="x" src="//img.example.com/a.png">',
        '<link rel="stylesheet" href="https://fonts.example.com/css">',
        '<link href="https://fonts.example.com" rel="preconnect">',
        "<style>@import 'https://example.com/a.css';</style>",
        "<p style=\"background: url('https://example.com/a.png')\">",
        '<img src="missing.png">',
    ],
)
def test_a_page_that_fetches_from_elsewhere_or_what_is_not_there_is_found(
    release: Any, tmp_path: Path, fetched: str
) -> None:
    (tmp_path / "index.html").write_text(fetched)
    assert len(release("pages").site_problems(tmp_path)) == 1


def test_links_that_a_reader_follows_and_files_that_are_there_are_fine(release: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "index.html").write_text(
        '<a href="https://example.com">x</a><link rel="canonical" href="https://example.com/">'
        '<img src="a.png#only-light">'
    )
    assert release("pages").site_problems(tmp_path) == []


def test_links_between_files_become_links_between_pages(release: Any, tmp_path: Path) -> None:
    release("pages").assemble(tmp_path / "docs")
    pages = tmp_path / "docs/pages"
    assert "(configuration.md)" in (pages / "deployment.md").read_text()
    assert "(security.md#refusals)" in (pages / "troubleshooting.md").read_text()
    assert "(tools.md)" in (pages / "index.md").read_text()
    assert "screenshots/containers-dark.png#only-dark" in (pages / "index.md").read_text()
    for page in pages.glob("*.md"):
        assert not re.search(r"\]\((?!https?:|#)[^)]*\.\./", page.read_text()), page.name


def test_commands_are_copied_from_a_page_without_their_prompts(release: Any, tmp_path: Path) -> None:
    release("pages").assemble(tmp_path / "docs")
    page = (tmp_path / "docs/pages/install.md").read_text()
    assert "```sh\nclaude mcp add docker -- uvx mcp-docker\n```" in page
    assert "```{ .console .no-copy }\n$ uvx mcp-docker doctor\nmcp-docker  " in page
    # a command of two lines
    assert re.search(r"\ncosign verify .* \\\n    --certificate", page)


def test_every_tool_and_argument_is_in_the_reference(release: Any) -> None:
    page = release("pages").tools_page()
    served = json.loads((ROOT / "src/mcp_docker/schemas.json").read_text())
    for name, listing in served.items():
        (part,) = re.findall(rf"(?ms)^### {name}\n(.*?)(?=^##|\Z)", page)
        assert all(f"| `{argument}` |" in part for argument in listing["inputSchema"].get("properties", {}))


def test_the_troubleshooting_page_names_only_codes_and_settings_that_exist() -> None:
    from mcp_docker import errors

    page = (ROOT / "docs/troubleshooting.md").read_text()
    codes = {kind.__dict__.get("code") for kind in vars(errors).values() if isinstance(kind, type)}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", page))
    prefixed = set(re.findall(r"\b(?:SAFETY|SECURITY)_[A-Z_]*[A-Z]\b", page))
    settings = {name.upper() for name in Settings.model_fields}
    everybodys = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"}
    assert prefixed - settings == set()
    assert {name for name in named if not name.startswith(("DOCKER_", "MCP_", "SAFETY_", "SECURITY_"))} <= (
        codes | everybodys
    )
