"""What Prometheus scrapes. No label holds anything that a stranger chose: what is not known beforehand is `unknown`."""

from collections.abc import Callable, Iterable, Iterator

from mcp_docker import __version__, errors
from mcp_docker.http.guard import REFUSALS

UNKNOWN = "unknown"
OUTCOMES = frozenset("done asked refused failed cancelled timed_out".split())
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ENGINE = frozenset(kind.code for kind in (errors.EngineUnreachable, errors.EngineError))


class Metrics:
    """The counters of one server, in a registry of their own.

    Args:
        tools: the names of all there are.
        reasons: why an authentication can fail.
        in_flight: how many calls are in flight now.
    """

    def __init__(
        self, tools: Iterable[str], reasons: Iterable[str], in_flight: Callable[[], float] | None = None
    ) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

        self.registry = CollectorRegistry()
        self._tools, self._reasons = frozenset(tools), frozenset(reasons)
        self._codes = frozenset(_codes(errors.Refused))
        ProcessCollector(registry=self.registry)
        Info("mcp_docker", "The server", registry=self.registry).info({"version": __version__})
        self._calls = Counter("mcp_docker_calls", "Calls of tools", ("tool", "tier", "outcome"), registry=self.registry)
        self._durations = Histogram(
            "mcp_docker_call_duration_seconds",
            "How long calls took",
            ("tool",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refusals = Counter("mcp_docker_refusals", "Calls refused or failed", ("code",), registry=self.registry)
        self._engine_errors = Counter(
            "mcp_docker_engine_errors", "Calls that failed for the engine's sake", ("code",), registry=self.registry
        )
        self._auth_failures = Counter(
            "mcp_docker_auth_failures", "Authentications that failed", ("reason",), registry=self.registry
        )
        self._http_refusals = Counter(
            "mcp_docker_http_refusals", "Requests refused before a call", ("reason",), registry=self.registry
        )
        gauge = Gauge("mcp_docker_calls_in_flight", "Calls in flight", registry=self.registry)
        if in_flight is not None:
            gauge.set_function(in_flight)

    def called(self, tool: str, tier: str | None, outcome: str, code: str | None, seconds: float) -> None:
        """Count a call that has ended.

        Args:
            tool: its own name, or the one that was asked for where there is no such tool.
            tier: of the tool; None where there is none.
            outcome: as in the audit.
            code: of the refusal; None where there was none.
            seconds: how long it took.
        """
        name, tier = (tool, tier or UNKNOWN) if tool in self._tools else (UNKNOWN, UNKNOWN)
        self._calls.labels(name, tier, outcome if outcome in OUTCOMES else UNKNOWN).inc()
        self._durations.labels(name).observe(max(seconds, 0))
        if code is not None:
            known = code if code in self._codes else UNKNOWN
            self._refusals.labels(known).inc()
            if known in _ENGINE:
                self._engine_errors.labels(known).inc()

    def auth_failed(self, reason: str) -> None:
        """Count an authentication that failed."""
        self._auth_failures.labels(reason if reason in self._reasons else UNKNOWN).inc()

    def http_refused(self, reason: str) -> None:
        """Count a request that was refused before it became a call, for one of the guard's REFUSALS."""
        self._http_refusals.labels(reason if reason in REFUSALS else UNKNOWN).inc()

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything, in the format that the scraper accepts, and its content type."""
        from prometheus_client.exposition import choose_encoder

        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type


def _codes(kind: type[errors.Refused]) -> Iterator[str]:
    if hasattr(kind, "code"):
        yield kind.code
    for below in kind.__subclasses__():
        yield from _codes(below)
