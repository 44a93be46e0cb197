"""Resources: what containers use."""

from mcp_docker.resource import Resource
from mcp_docker.tool import Context
from mcp_docker.tools.containers import stats


class ContainerStats(
    Resource,
    uri="container://stats/{container_id}",
    mime_type="application/json",
    shows=("docker_container_stats",),
    watched="stats",
    label="Use of a container",
):
    """CPU, memory, network and disk use of a running container."""

    def run(self, ctx: Context) -> stats.Stats:
        return stats.ContainerStats(container_id=self.container_id).run(ctx)
