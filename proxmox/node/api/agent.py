"""The guest agent: commands and files inside a guest."""

import base64
from typing import Any

from proxmox.node.api.common import VM
from proxmox.node.api.vms import agent_enabled
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, Call, route
from proxmox.node.schema import Parameter

AGENT = VM + "/agent"
_FILE = Parameter(optional=False)
_COMMANDS = {"ping": "ping", "get-osinfo": "osinfo", "get-host-name": "hostname", "info": "info"}
_SUPPORTED = (
    "guest-ping",
    "guest-info",
    "guest-exec",
    "guest-exec-status",
    "guest-file-open",
    "guest-get-osinfo",
)


@route("POST", AGENT + "/ping")
def ping(host: Host, call: Call) -> Any:
    return {"result": _ask(host, call, "ping")}


@route(
    "POST",
    AGENT,
    command=Parameter(optional=False, enum=tuple(sorted((*_COMMANDS, "network-get-interfaces")))),
)
def command(host: Host, call: Call) -> Any:
    handlers = {"info": info, "network-get-interfaces": interfaces}
    if handler := handlers.get(call["command"]):
        return handler(host, call)
    return {"result": _ask(host, call, _COMMANDS[call["command"]])}


@route("GET", AGENT + "/info")
def info(host: Host, call: Call) -> Any:
    _ask(host, call, "ping")
    commands = [{"name": name, "enabled": True, "success-response": True} for name in _SUPPORTED]
    return {"result": {"version": "10.0.0", "supported_commands": commands}}


@route("GET", AGENT + "/get-osinfo")
def osinfo(host: Host, call: Call) -> Any:
    return {"result": _ask(host, call, "osinfo")}


@route("GET", AGENT + "/get-host-name")
def hostname(host: Host, call: Call) -> Any:
    return {"result": _ask(host, call, "hostname")}


@route("GET", AGENT + "/network-get-interfaces")
def interfaces(host: Host, call: Call) -> Any:
    """Guests share this computer's network; what they can rely on is the loopback interface."""
    _ask(host, call, "ping")
    addresses = [
        {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
        {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128},
    ]
    loopback = {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": addresses}
    return {"result": [loopback]}


_EXEC = {"command": Parameter("array", optional=False), "input-data": Parameter(max_length=65536)}


@route("POST", AGENT + "/exec", **_EXEC)
def execute(host: Host, call: Call) -> Any:
    argv, data = call["command"], _bytes(call.get("input-data", "")).decode("latin-1")
    if not all(word.isascii() for word in argv):
        # Observed on 8.4 and 9.2: the call times out, and the agent hangs until the VM is reset.
        _ask(host, call, "ping")
        host.guests.wedge(call.vmid)
        raise Failure(f"VM {call.vmid} qga command 'guest-exec' failed - got timeout")
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


_READ = {
    "file": _FILE,
    "offset": Parameter("integer", minimum=0),
    "count": Parameter("integer", minimum=0),
    "decode": FLAG,
}


@route("GET", AGENT + "/file-read", **_READ)
def file_read(host: Host, call: Call) -> Any:
    answer = _ask(
        host, call, "read", path=call["file"], offset=call.get("offset", 0), count=call.get("count")
    )
    if not call.get("decode", True):
        answer["content"] = base64.b64encode(answer["content"].encode("latin-1")).decode()
    return answer


def _ask(host: Host, call: Call, do: str, **arguments: Any) -> Any:
    if not agent_enabled(host.configs.view(call.vmid).values):
        raise Failure("No QEMU guest agent configured")
    return host.guests.ask(call.vmid, do, **arguments)


def _bytes(text: str) -> bytes:
    """Proxmox hands characters to a function for bytes, and dies of those above U+00FF."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Failure("Wide character in subroutine entry") from None
