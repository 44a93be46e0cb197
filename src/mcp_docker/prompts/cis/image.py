"""Section 4: images, as far as their configuration and history tell."""

import re

from mcp_docker import redact
from mcp_docker.prompts.cis import Audited, Finding, Item, by_hand, failed, judged, not_applicable, passed

_UPDATE = re.compile(r"\b(?:apt-get|apt|aptitude|apk|yum|dnf|microdnf|zypper)\b(?:\s+-[\w-]+)*\s+(?:update|refresh)\b")
_INSTALL = re.compile(r"\b(?:install|add|upgrade|dist-upgrade)\b")
_ADD = re.compile(r"^(?:/bin/sh -c #\(nop\)\s*)?ADD\s")
_BARE = re.compile(r"^(?:/bin/sh -c #\(nop\)\s*)?(?:ARG|LABEL|ENV|MAINTAINER)\s")
"""Steps that make no files: some bases have them before the one that unpacks their root file system."""
_RUN = re.compile(r"^(?:RUN\s|/bin/\w+ -|\|\d+ )")

_GONE = "the image is gone, or is not shown here"
_NO_STEPS = "the image's history names no steps"


def _user(container: Audited) -> Finding:
    user = str(container.config.get("User") or "")
    name = user.partition(":")[0]
    root = name in ("", "root") or re.fullmatch(r"[+-]?0+", name) is not None
    return judged(not root, f"User={user or 'empty, which is root'}")


def _healthcheck(container: Audited) -> Finding:
    if container.image is None:
        return not_applicable(_GONE)
    config = container.image.get("Config") or {}
    test = (config.get("Healthcheck") or container.image.get("HealthCheck") or {}).get("Test") or []
    return judged(test and test[0] != "NONE", f"Config.Healthcheck.Test={' '.join(map(str, test)) or 'none'}")


def _updates(container: Audited) -> Finding:
    runs = [step for step in _steps(container) if _RUN.search(step) and "#(nop)" not in step]
    if not runs:
        return not_applicable(_NO_STEPS)
    alone = [step for step in runs if _UPDATE.search(step) and not _INSTALL.search(_UPDATE.sub("", step))]
    return failed(f"history: {alone[0]}") if alone else passed("no step of the history updates only")


def _adds(container: Audited) -> Finding:
    steps = [step for step in _steps(container) if not _BARE.match(step)]
    if not steps:
        return not_applicable(_NO_STEPS)
    # the oldest one unpacks the root file system of the base, which only ADD can
    added = [step for step in steps[:-1] if _ADD.match(step)]
    return failed(f"history: {added[0]}") if added else passed("no step of the history but the first adds")


def _secrets(container: Audited) -> Finding:
    environment = ((container.image or {}).get("Config") or {}).get("Env") or []
    if container.image is None and not container.history:
        return not_applicable(_GONE)
    known, _ = redact.clean({"environment": environment}, hide=True)
    if known["environment"] != environment or any(
        redact.told(step, hide=True) != redact.clean_text(step) for step in _steps(container)
    ):
        return failed("its environment or history holds what looks like a secret")
    return not_applicable("the API can't tell: nothing looks like a secret, which proves nothing")


def _steps(container: Audited) -> list[str]:
    """The commands of the image's history, the newest first."""
    return [command for step in container.history or [] if (command := str(step.get("CreatedBy") or "").strip())]


IMAGE: tuple[Item[Audited], ...] = (
    Item(
        "4.1",
        "Container runs as a user of its own",
        _user,
        "Have the image name a USER, or create the container with a user (a number other than 0).",
        "it runs as root",
    ),
    Item("4.2", "Base images are trusted", by_hand("trust is a matter of who made them")),
    Item("4.3", "No unnecessary packages", by_hand("packages are inside of the image")),
    Item("4.4", "Image is scanned and rebuilt", by_hand("scanning needs a scanner")),
    Item("4.5", "Content trust is on", by_hand("it is a setting of the clients that pull")),
    Item(
        "4.6",
        "Image has a HEALTHCHECK",
        _healthcheck,
        "Add a HEALTHCHECK to the Dockerfile.",
    ),
    Item(
        "4.7",
        "Package lists are not updated alone",
        _updates,
        "Update and install in one RUN: a cached update installs old packages.",
    ),
    Item("4.8", "Setuid and setgid bits are removed", by_hand("modes of files are inside of the image")),
    Item("4.9", "COPY is used, not ADD", _adds, "Use COPY for local files; fetch and verify remote ones in a RUN."),
    Item(
        "4.10",
        "No secrets in the Dockerfile",
        _secrets,
        "Build with secret mounts, change the secret, and rebuild: layers keep what they once had.",
    ),
    Item("4.11", "Packages are verified", by_hand("how packages were installed is not shown")),
    Item("4.12", "Signed artifacts are validated", by_hand("what the build checked is not shown")),
)
