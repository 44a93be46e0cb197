"""What the example in deploy/ sets for the server."""

import re

from dotenv import dotenv_values

from tests.integration.image.ingredients import ROOT

_REFERENCE = re.compile(r"\$\{(\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")


def settings() -> dict[str, str]:
    """The environment of mcp-docker in compose.yaml, with the values of env.example."""
    values = dotenv_values(ROOT / "deploy/env.example")
    text = (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
    service = text.partition("\n  mcp-docker:\n")[2].partition("\n\n")[0]
    lines = re.findall(r"^      (\w+): (.*)$", service.partition("\n    environment:\n")[2], re.MULTILINE)
    assert lines, "compose.yaml is laid out in another way"

    def value(match: re.Match[str]) -> str:
        return values.get(match[1]) or match["default"] or ""

    return {name: _REFERENCE.sub(value, text).strip('"') for name, text in lines}
