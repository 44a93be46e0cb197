"""Memory limits: what sets one, and how large a heap the program itself may fill."""

import math
import re

from mcp_docker.prompts.inspected import Inspected

MIB = 1 << 20
HEAP_SHARE = 0.75
"""How much of a memory limit a heap may take: threads, code and buffers are beside it."""

# options of Java, and of Node.js, which counts in MiB
_OPTIONS = (
    re.compile(r"(?<![\w-])-(?:Xmx|XX:MaxHeapSize=)(\d{1,15})([kmgtKMGT]?)(?![\w.])"),
    re.compile(r"(?<![\w-])--max[-_]old[-_]space[-_]size=(\d{1,15})()(?![\w.])"),
)
_USUAL_UNITS = ("", "m")
_BITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
# read by the runtime itself, or by the one program that a container with them is made for: others may be read by nobody
_VARIABLES = frozenset(
    "JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS NODE_OPTIONS ES_JAVA_OPTS KAFKA_HEAP_OPTS CATALINA_OPTS".split()
)


def rounded(count: float) -> int:
    """Up to what a person would write, and no less than 32 MiB."""
    step = next((step for step in (16, 64, 256) if count < 16 * step * MIB), 1024) * MIB
    return max(math.ceil(count / step) * step, 32 * MIB)


def limits(container: Inspected, count: int) -> tuple[str, str]:
    """What sets so much memory, in a Compose file and for `docker update`; the swap beside it stays as chosen."""
    limit, swap = container.host.get("Memory") or 0, container.host.get("MemorySwap") or 0
    usual = swap in (0, 2 * limit)  # what the engine makes of no word about it
    both = "-1" if swap < 0 else _short(2 * count if usual else count + max(swap - limit, 0))
    # the engine refuses a limit above what memory and swap together may be
    setting = f"mem_limit: {_short(count)}" + ("" if usual else f", memswap_limit: {both}")
    return setting, f"--memory {_short(count)} --memory-swap {both}"


def _short(count: int) -> str:
    return f"{count >> 30}g" if count % (1 << 30) == 0 else f"{count // MIB}m"


def largest_heap(container: Inspected) -> int:
    """The bytes that the heap may grow to; 0 where nothing says so."""
    texts = [" ".join(container.command)]
    for entry in container.config.get("Env") or []:
        name, _, value = entry.partition("=")
        texts += [value] if name in _VARIABLES else []
    said = []
    for text in texts:
        for option, usual in zip(_OPTIONS, _USUAL_UNITS, strict=True):
            # the last of the same option counts
            if found := option.findall(text):
                count, unit = found[-1]
                said.append(int(count) << _BITS[unit.lower() or usual])
    # which place counts depends on the runtime: the smallest is sure to be allowed
    return min(said, default=0)
