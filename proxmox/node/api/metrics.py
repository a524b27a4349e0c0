"""rrddata: what a VM or the node used over time."""

import time

from proxmox.node.api.common import VM
from proxmox.node.host import Host
from proxmox.node.metrics import Values
from proxmox.node.routes import Call, route
from proxmox.node.schema import Parameter

_FUNCTION = Parameter(enum=("AVERAGE", "MAX"))
_TIMEFRAME = Parameter(optional=False, enum=("hour", "day", "week", "month", "year"))


@route("GET", VM + "/rrddata", timeframe=_TIMEFRAME, cf=_FUNCTION)
def of_vm(host: Host, call: Call) -> list[Values]:
    host.configs.view(call.vmid)
    return host.metrics.rows(f"qemu/{call.vmid}", call["timeframe"], call.get("cf", ""), time.time())


@route("GET", "/nodes/{node}/rrddata", timeframe=_TIMEFRAME, cf=_FUNCTION)
def of_node(host: Host, call: Call) -> list[Values]:
    return host.metrics.rows("node", call["timeframe"], call.get("cf", ""), time.time())
