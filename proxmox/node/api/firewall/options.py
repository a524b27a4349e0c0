"""Firewall options of the data centre, the node and a VM."""

import time
from collections.abc import Mapping
from typing import Any

from proxmox.node.api.firewall.common import EDIT, FIREWALL, LEVEL, check_digest, names, with_digest
from proxmox.node.errors import BadParameters
from proxmox.node.firewall import DATACENTER, NODE, Name
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_POLICY = Parameter(enum=("ACCEPT", "REJECT", "DROP"))
_OF_VM = {
    **dict.fromkeys(("enable", "dhcp", "ipfilter", "macfilter", "ndp", "radv"), FLAG),
    **dict.fromkeys(("log_level_in", "log_level_out"), LEVEL),
    **dict.fromkeys(("policy_in", "policy_out"), _POLICY),
}
_OF_NODE = {
    **dict.fromkeys(("enable", "log_nf_conntrack", "ndp", "nf_conntrack_allow_invalid", "nftables"), FLAG),
    **dict.fromkeys(("nosmurfs", "protection_synflood", "tcpflags"), FLAG),
    **dict.fromkeys(("log_level_forward", "log_level_in", "log_level_out", "smurf_log_level"), LEVEL),
    "tcp_flags_log_level": LEVEL,
    "nf_conntrack_helpers": TEXT,
    "nf_conntrack_max": Parameter("integer", minimum=32768),
    "nf_conntrack_tcp_timeout_established": Parameter("integer", minimum=7875),
    "nf_conntrack_tcp_timeout_syn_recv": Parameter("integer", minimum=30, maximum=60),
    **dict.fromkeys(("protection_synflood_burst", "protection_synflood_rate"), Parameter("integer")),
}
_OF_DATACENTER = {
    "ebtables": FLAG,
    "enable": COUNT,
    "log_ratelimit": TEXT,
    "policy_forward": Parameter(enum=("ACCEPT", "DROP")),
    **dict.fromkeys(("policy_in", "policy_out"), _POLICY),
}


@route("GET", "/cluster/firewall/options")
def datacenter_options(host: Host, call: Call) -> dict[str, Any]:
    return with_digest(host.firewall.view(DATACENTER).options)


@route("PUT", "/cluster/firewall/options", **EDIT, **_OF_DATACENTER)
def set_datacenter_options(host: Host, call: Call) -> None:
    if call.get("enable", 0) > 1:
        call.parameters["enable"] = int(time.time())
    _set_options(host, DATACENTER, call, _OF_DATACENTER)


@route("GET", "/nodes/{node}/firewall/options")
def node_options(host: Host, call: Call) -> dict[str, Any]:
    return with_digest(host.firewall.view(NODE).options)


@route("PUT", "/nodes/{node}/firewall/options", **EDIT, **_OF_NODE)
def set_node_options(host: Host, call: Call) -> None:
    _set_options(host, NODE, call, _OF_NODE)


@route("GET", FIREWALL)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"name": name} for name in ("rules", "aliases", "ipset", "refs", "options")]


@route("GET", FIREWALL + "/options")
def options(host: Host, call: Call) -> dict[str, Any]:
    return with_digest(host.firewall.view(call.vmid).options)


@route("PUT", FIREWALL + "/options", **EDIT, **_OF_VM)
def set_options(host: Host, call: Call) -> None:
    _set_options(host, call.vmid, call, _OF_VM)


def _set_options(host: Host, name: Name, call: Call, known: Mapping[str, Parameter]) -> None:
    with host.firewall.edit(name) as objects:
        check_digest(call, with_digest(objects.options)["digest"])
        for option in names(call.get("delete", "")):
            if option not in known:
                raise BadParameters({"delete": f"no such option '{option}'"})
            objects.options.pop(option, None)
        objects.options |= {option: _plain(value) for option, value in call.sent(*EDIT).items()}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
