"""CHANGELOG.md's newest entry is this version: `python -m release.changelog` checks it and prints the entry.

With a tag and a repository (`v2.0.0 owner/name`) it also checks that this is what is to be released: the entry has a
date, and pyproject.toml names that repository.
"""

import re
import sys

from release.project import ROOT, SLUG, VERSION


def newest() -> tuple[str, str, str]:
    """Version, date or "unreleased", and text of the newest entry."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"(?ms)^## (\S+) \(([^)]+)\)\n(.*?)(?=^## |\Z)", text)
    if found is None:
        raise SystemExit("CHANGELOG.md has no entry like: ## 2.0.0 (2026-01-31)")
    return found[1], found[2], found[3].strip()


def main(arguments: list[str]) -> int:
    """Check, and print the entry."""
    version, date, text = newest()
    problems = [] if version == VERSION else [f"CHANGELOG.md begins with {version}, and this is {VERSION}"]
    if not text:
        problems.append(f"CHANGELOG.md says nothing about {version}")
    if arguments:
        tag, repository = arguments
        if tag != f"v{VERSION}":
            problems.append(f"the tag is {tag}, and this is v{VERSION}")
        if repository != SLUG:
            problems.append(f"pyproject.toml names {SLUG}, and this is {repository}")
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
            problems.append(f"CHANGELOG.md says of {version}: {date}; write the date")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(text)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
