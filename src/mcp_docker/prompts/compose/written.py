"""Compose files as text: YAML in which every reader finds the same strings."""

import re
from typing import Any

from mcp_docker.redact import clean_text

REFERENCE = "\0{{{}}}"
"""A reference to a variable, until the file is written; no string of an engine has a NUL."""

# numbers of YAML 1.1 and 1.2 alike, times, dates, and what only some readers take for a boolean
_MISREAD = re.compile(r"[-+]?\.?\d[\da-fxoz_.:+ -]*t?[\d:.z+ -]*|[yn]", re.IGNORECASE)


def escaped(value: Any) -> Any:
    """A value of the file in which Compose finds no variables but those that are meant. It leaves keys alone."""
    match value:
        case str():
            return value.replace("$", "$$").replace("\0", "$")
        case list():
            return [escaped(item) for item in value]
        case dict():
            return {name: escaped(item) for name, item in value.items()}
    return value


def dump(value: dict[str, Any]) -> str:
    """YAML in block style, in the order of the mapping."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is given
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            super().increase_indent(flow, False)

        def write_double_quoted(self, text: str, split: bool = True) -> None:
            # what is not to be seen would be taken out of the answer
            self.allow_unicode = False
            super().write_double_quoted(text, split)
            self.allow_unicode = True

    def string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None
        if clean_text(text) != text or "\t" in text:
            style = '"'
        elif "\n" in text:
            style = "|"
        elif _MISREAD.fullmatch(text):
            style = "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, string)
    written: str = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return written
