"""Resources: what containers print."""

from mcp_docker.resource import Resource
from mcp_docker.tool import Context
from mcp_docker.tools.containers import logs


class ContainerLogs(
    Resource,
    uri="container://logs/{container_id}",
    mime_type="text/plain",
    shows=("docker_container_logs",),
    watched="logs",
    label="Logs of a container",
):
    """The last 200 lines that a container printed."""

    def run(self, ctx: Context) -> logs.Logs:
        return logs.ContainerLogs(container_id=self.container_id, timestamps=True).run(ctx)
