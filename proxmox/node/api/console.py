"""Consoles of VMs: an offer with a ticket, and the WebSocket that takes it."""

import secrets
from pathlib import Path
from typing import Any

from proxmox.node.api.common import VM
from proxmox.node.consoles import Session
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, Call, route
from proxmox.node.schema import Parameter

SERIAL = ("serial0", "serial1", "serial2", "serial3")
_PORT = Parameter("integer", optional=False, minimum=5900, maximum=5999)


@route("POST", VM + "/termproxy", serial=Parameter(enum=SERIAL))
def term_proxy(host: Host, call: Call) -> dict[str, Any]:
    host.configs.view(call.vmid)
    session, upid = host.consoles.offer(call.vmid, call.user, "termproxy", call.get("serial", ""))
    ticket = host.tickets.console(call.user, session.path, session.port)
    return {"user": call.user, "ticket": ticket, "port": session.port, "upid": upid}


@route("POST", VM + "/vncproxy", websocket=FLAG, **{"generate-password": FLAG})
def vnc_proxy(host: Host, call: Call) -> dict[str, Any]:
    """The password of the VNC protocol stands before the ticket, as in Proxmox."""
    host.configs.view(call.vmid)
    session, upid = host.consoles.offer(call.vmid, call.user, "vncproxy")
    password = secrets.token_hex(4)
    ticket = f"{password}:{host.tickets.console(call.user, session.path, session.port)}"
    answer = {"user": call.user, "ticket": ticket, "port": session.port, "upid": upid, "password": password}
    certificate = host.options.tls_cert
    return answer | {"cert": Path(certificate).read_text(encoding="ascii") if certificate else ""}


def shell(host: Host, session: Session) -> int:
    """Open the serial line of a VM; the descriptor of our end. Raises `Failure` with the words of `qm terminal`.

    Unlike on a real serial line, every console has a shell of its own, and nobody has to log in.
    """
    values, serial = host.configs.view(session.vmid).values, session.serial
    if serial and serial not in values:
        raise Failure(f"serial interface '{serial}' is not configured")
    if not any(values.get(each) == "socket" for each in ([serial] if serial else SERIAL)):
        wrong = f"wrong serial type on interface '{serial}'"
        raise Failure(wrong if serial else "unable to find a serial interface")
    return host.guests.console(session.vmid)


@route("GET", VM + "/vncwebsocket", port=_PORT, vncticket=Parameter(optional=False, max_length=512))
def web_socket(host: Host, call: Call) -> Session:
    """The session, for the server to go on with."""
    ticket = call["vncticket"]
    ticket = ticket[9:] if ticket[8:].startswith(":PVEVNC:") else ticket
    if not host.tickets.console_valid(ticket, call.user, f"/vms/{call.vmid}", call["port"]):
        raise Failure("permission denied - invalid PVEVNC ticket", status=401)
    host.configs.view(call.vmid)
    return host.consoles.claim(call["port"], call.vmid, call.user)
