"""The guest agent: commands, files and passwords inside a guest (qemu-server: PVE/API2/Qemu/Agent.pm).

What it is asked about the guest as a whole is answered in `agent_facts`.
"""

import base64
from collections.abc import Callable
from typing import Any

from proxmox.node.api import agent_facts
from proxmox.node.api.common import VM
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, Call, route
from proxmox.node.schema import UNKNOWN, Parameter

AGENT = VM + "/agent"
READ_LIMIT = 16 * 1024**2
_CHUNK = 1024**2  # what Proxmox reads and encodes at a time
_FILE = Parameter(optional=False)
_WITH_PARAMETERS = ("exec", "exec-status", "file-read", "file-write", "set-user-password")


@route("GET", AGENT)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"name": name} for name in sorted((*agent_facts.COMMANDS, *_WITH_PARAMETERS))]


@route("POST", AGENT, command=Parameter(optional=False, enum=tuple(sorted(agent_facts.COMMANDS))))
def command(host: Host, call: Call) -> Any:
    return _plain(call["command"])(host, call)


def _plain(name: str) -> Callable[[Host, Call], Any]:
    """The handler of a command without parameters. What the agent refuses stands in the result, with status 200."""
    answer = agent_facts.COMMANDS[name][1]

    def handler(host: Host, call: Call) -> Any:
        check_available(host, call.vmid)
        if error := host.guests.refusal(call.vmid, f"guest-{name}"):
            return {"result": {"error": {"class": "CommandNotFound", "desc": error}}}
        return {"result": answer(host, call.vmid)}

    return handler


for _name, (_method, _) in agent_facts.COMMANDS.items():
    route(_method, f"{AGENT}/{_name}")(_plain(_name))


_EXEC = {"command": Parameter("array", optional=False), "input-data": Parameter(max_length=65536)}


@route("POST", AGENT + "/exec", **_EXEC)
def execute(host: Host, call: Call) -> Any:
    argv, data = call["command"], _bytes(call.get("input-data", "")).decode("latin-1")
    check_available(host, call.vmid)
    if not all(word.isascii() for word in argv):
        # Observed on 8.4 and 9.2: the call times out, and the agent hangs until the VM is reset.
        host.guests.wedge(call.vmid)
        monitor = "qmp" if host.options.release == "8.4" else "qga"
        raise Failure(f"VM {call.vmid} {monitor} command 'guest-exec' failed - got timeout")
    try:
        return _ask(host, call, "exec", argv=argv, data=data)
    except Failure as failure:
        if "Failed to execute child process" in failure.text:
            # The message has typographic quotes on a real one, which break pvedaemon's status line.
            raise Failure("Broken pipe", status=596, bare=True) from None
        raise


@route("GET", AGENT + "/exec-status", pid=Parameter("integer", optional=False))
def exec_status(host: Host, call: Call) -> Any:
    return _ask(host, call, "status", pid=call["pid"])


@route(
    "POST",
    AGENT + "/file-write",
    file=_FILE,
    content=Parameter(optional=False, max_length=61440),
    encode=FLAG,
)
def file_write(host: Host, call: Call) -> None:
    content = call["content"]
    data = base64.b64encode(_bytes(content)).decode() if call.get("encode", True) else content
    _ask(host, call, "write", path=call["file"], data=data)


_PART = {
    "offset": Parameter("integer", minimum=0),
    "count": Parameter("integer", minimum=1, maximum=READ_LIMIT),
    "decode": FLAG,
}


@route("GET", AGENT + "/file-read", file=_FILE, **_PART)
def file_read(host: Host, call: Call) -> Any:
    if host.options.release == "8.4" and (unknown := _PART.keys() & call.parameters.keys()):
        raise BadParameters(dict.fromkeys(unknown, UNKNOWN))
    count = call.get("count", READ_LIMIT)
    answer = _ask(host, call, "read", path=call["file"], offset=call.get("offset", 0), count=count)
    content = answer["content"].encode("latin-1")
    # The end of a file is noticed only by reading beyond it.
    truncated = {"truncated": 1} if len(content) == count else {}
    shown = answer["content"] if call.get("decode", True) else _encoded(content)
    return {"content": shown, "bytes-read": len(content)} | truncated


@route(
    "POST",
    AGENT + "/set-user-password",
    username=Parameter(optional=False),
    password=Parameter(optional=False, max_length=1024),
    crypted=FLAG,
)
def set_user_password(host: Host, call: Call) -> Any:
    """Nobody logs in to an embedded guest: it has no passwords, whoever is asked for."""
    check_available(host, call.vmid)
    raise Failure("Agent error: child process has failed to set user password")


def check_available(host: Host, vmid: int) -> None:
    """Raises `Failure` in Proxmox's order: not configured, not running, not answering."""
    agent = host.configs.view(vmid).values.get("agent")
    if agent is None:
        raise Failure("No QEMU guest agent configured")
    host.guests.ask(vmid, "ping", configured=str(agent).split(",")[0].removeprefix("enabled=") == "1")


def _ask(host: Host, call: Call, do: str, **arguments: Any) -> Any:
    check_available(host, call.vmid)
    name = {"status": "exec-status", "write": "file-open", "read": "file-open"}.get(do, do)
    if error := host.guests.refusal(call.vmid, f"guest-{name}"):
        raise Failure(f"Agent error: {error}")
    return host.guests.ask(call.vmid, do, **arguments)


def _encoded(content: bytes) -> str:
    """Base64 as Proxmox joins it: chunk by chunk, each with its own padding."""
    chunks = (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))
    return "".join(base64.b64encode(chunk).decode() for chunk in chunks)


def _bytes(text: str) -> bytes:
    """Proxmox hands characters to a function for bytes, and dies of those above U+00FF."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Failure("Wide character in subroutine entry") from None
