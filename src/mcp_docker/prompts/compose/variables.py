"""Values of a container that are secret, in a file that is not."""

import re
from typing import Any

from mcp_docker.prompts.compose import written
from mcp_docker.redact import compact
from mcp_docker.redact.secrets import PLACEHOLDER, hide, hide_text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Variables:
    """Puts a reference to a variable in the place of each value that redaction takes for a secret.

    Attributes:
        names: the variables, in the order of the file.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def mapping(self, values: dict[str, Any]) -> dict[str, Any]:
        """Environment, labels or options, where a name may tell of a secret."""
        return {name: self._value(name, value) for name, value in values.items()}

    def words(self, argv: list[str]) -> list[str]:
        """The words of one command."""
        shown = hide(argv, compact(argv)) if argv else []
        return [
            re.sub(re.escape(PLACEHOLDER), lambda _: self._reference("SECRET_1"), after) if after != before else before
            for before, after in zip(argv, shown, strict=True)
        ]

    def _value(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        entry = [f"{name}={value}"]
        line = written.dump({name: written.escaped(value)})
        if hide(entry, compact(entry)) == entry and hide_text(line) == line:
            return value
        return self._reference(name if _NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9]+", "_", f"_{name}").upper()[1:])

    def _reference(self, wanted: str) -> str:
        wanted = wanted if _NAME.fullmatch(wanted) else f"_{wanted}"
        name, number = wanted, 2
        while name in self.names:
            name, number = f"{wanted.rstrip('0123456789_')}_{number}", number + 1
        self.names.append(name)
        return written.REFERENCE.format(name)
