"""What the MCP server offers: tools with what they do to the world, and resources. Loads the SDK."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations

from mcp_server.api import Caller, Refused
from mcp_server.inside import Application
from mcp_server.tools import checkpoints, machines, projects, spawning

INSTRUCTIONS = """\
autovibe runs AI coding agents in virtual machines, under budgets, with a checkpoint around every model call.
Spawn a machine with a prompt, wait for it, read the files of the checkpoints it left, and branch from any of them with
another prompt. m12 is a machine, m12.c3 a checkpoint that it left, demo a project. Everything that costs is paid by the
project: budget_left says what there is. Refusals say what to do instead."""
BODY_BYTES_MAX = 4 * 1024**2

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
# Adds something, and takes nothing away.
ADDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)
HALTS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)

Tool = Callable[..., Any]
TOOLS: dict[Tool, ToolAnnotations] = {
    projects.list_projects: READS,
    projects.budget_left: READS,
    projects.list_machine_types: READS,
    spawning.predict: READS,
    spawning.spawn: ADDS,
    spawning.branch: ADDS,
    machines.list_machines: READS,
    machines.show_machine: READS,
    machines.wait: READS,
    machines.read_log: READS,
    machines.message: ADDS,
    machines.pause: HALTS,
    machines.resume: HALTS,
    machines.rollback: ENDS,
    machines.terminate: ENDS,
    checkpoints.take_checkpoint: ADDS,
    checkpoints.list_checkpoints: READS,
    checkpoints.show_checkpoint: READS,
    checkpoints.list_files: READS,
    checkpoints.read_file: READS,
    checkpoints.diff: READS,
}


class Server(MCPServer[Application]):
    """Tells refusals in the API's own sentences, with nothing before them."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Application, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        try:
            return await super().call_tool(name, arguments, context)
        except Exception as error:
            if isinstance(error.__cause__, Refused):
                said = TextContent(type="text", text=str(error.__cause__))
                return CallToolResult(content=[said], is_error=True)
            raise


def manager(application: Application, version: str) -> StreamableHTTPSessionManager:
    """What answers requests: of no session, since everything that lasts is in autovibe's database."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Application]) -> AsyncIterator[Application]:
        yield application

    server = Server(
        "autovibe", instructions=INSTRUCTIONS, version=version, lifespan=lifespan, log_level="WARNING"
    )
    for tool, annotations in TOOLS.items():
        server.add_tool(tool, annotations=annotations)
    _add_resources(server)
    server.streamable_http_app(
        stateless_http=True,
        max_request_body_size=BODY_BYTES_MAX,
        # The application behind it looks at the host itself; and no page of a browser holds a token.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return server.session_manager


def _add_resources(server: MCPServer[Application]) -> None:
    @server.resource("autovibe://machines/{machine}/log", mime_type="text/plain", title="A machine's log")
    async def machine_log(machine: str, ctx: Caller) -> str:
        """The last lines that a machine's agent printed."""
        log = await machines.read_log(machine, ctx, limit=machines.LINES_MAX)
        return "\n".join(line.text for line in log.lines)

    @server.resource(
        "autovibe://checkpoints/{checkpoint}/files/{+path}", title="A file of a checkpoint's workspace"
    )
    async def checkpoint_file(checkpoint: str, path: str, ctx: Caller) -> str | bytes:
        """One file, as it was when the checkpoint was taken."""
        return await checkpoints.file_content(checkpoint, path, ctx)

    @server.resource(
        "autovibe://projects/{project}/budget", mime_type="application/json", title="A project's budget"
    )
    async def project_budget(project: str, ctx: Caller) -> str:
        """Every limit of a project, what is spent of it, and what is left."""
        return (await projects.budget_left(project, ctx)).model_dump_json()
