"""The privilege that each route needs before its parameters are looked at: one table, distilled from the API schemas.

What depends on checked parameters or on a VM's configuration is in `conditions`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxmox.node.access.accounts import ROOT
from proxmox.node.access.checks import (
    Check,
    Given,
    agent,
    before_9,
    both,
    either,
    everybody,
    modify_acl,
    need,
    need_any,
    oneself,
    over_user,
    own_realm,
    with_parameter,
    world,
)
from proxmox.node.access.permissions import denied

if TYPE_CHECKING:
    from proxmox.node.host import Host

NODE = "/nodes/{node}"
VM = NODE + "/qemu/{vmid}"
STORAGE = NODE + "/storage/{storage}"
_AGENT = VM + "/agent"
_FIREWALL = VM + "/firewall"

_audit = need("/vms/{vmid}", "VM.Audit")
_power = need("/vms/{vmid}", "VM.PowerMgmt")
_network = need("/vms/{vmid}", "VM.Config.Network")
_disk = need("/vms/{vmid}", "VM.Config.Disk")
_console = need("/vms/{vmid}", "VM.Console")
_allocate = need("/vms/{vmid}", "VM.Allocate")
_configure = need_any(
    "/vms/{vmid}",
    *(f"VM.Config.{name}" for name in ("Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options")),
    "VM.Config.Cloudinit",
)
_see_storage = need_any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
_manage_storages = need("/storage", "Datastore.Allocate")
_fill_storage = need("/storage/{storage}", "Datastore.AllocateTemplate")
_audit_node = need("/nodes/{node}", "Sys.Audit")
_modify_node = need("/nodes/{node}", "Sys.Modify")
_audit_all = need("/", "Sys.Audit")
_manage_pool = need("/pool/{poolid}", "Pool.Allocate")
_manage_roles = need("/access", "Sys.Modify")
_manage_groups = need("/access/groups", "Group.Allocate")
_own_tokens = either(oneself, over_user("User.Modify"))

_ACCESS: dict[str, Check] = {
    "GET /access": everybody,
    "GET /access/acl": everybody,
    "PUT /access/acl": modify_acl,
    "GET /access/domains": world,
    "GET /access/groups": everybody,
    "POST /access/groups": _manage_groups,
    "GET /access/groups/{groupid}": need_any("/access/groups", "Sys.Audit", "Group.Allocate"),
    "PUT /access/groups/{groupid}": _manage_groups,
    "DELETE /access/groups/{groupid}": _manage_groups,
    "PUT /access/password": either(oneself, both(own_realm, over_user("User.Modify"))),
    "GET /access/permissions": everybody,
    "GET /access/roles": everybody,
    "POST /access/roles": _manage_roles,
    "GET /access/roles/{roleid}": everybody,
    "PUT /access/roles/{roleid}": _manage_roles,
    "DELETE /access/roles/{roleid}": _manage_roles,
    "GET /access/ticket": world,
    "POST /access/ticket": world,
    "GET /access/users": everybody,
    "POST /access/users": both(own_realm, over_user("User.Modify")),
    "GET /access/users/{userid}": over_user("User.Modify", "Sys.Audit"),
    "PUT /access/users/{userid}": over_user("User.Modify"),
    "DELETE /access/users/{userid}": both(own_realm, over_user("User.Modify")),
    "GET /access/users/{userid}/token": _own_tokens,
    "GET /access/users/{userid}/token/{tokenid}": _own_tokens,
    "POST /access/users/{userid}/token/{tokenid}": _own_tokens,
    "PUT /access/users/{userid}/token/{tokenid}": _own_tokens,
    "DELETE /access/users/{userid}/token/{tokenid}": _own_tokens,
}

_CLUSTER: dict[str, Check] = {
    "GET /": everybody,
    "GET /version": everybody,
    "GET /cluster": everybody,
    "GET /cluster/firewall/options": _audit_all,
    "PUT /cluster/firewall/options": need("/", "Sys.Modify"),
    "GET /cluster/nextid": everybody,
    "GET /cluster/options": everybody,
    "GET /cluster/resources": everybody,
    "GET /cluster/status": _audit_all,
    "GET /cluster/tasks": everybody,
    "GET /pools": everybody,
    "POST /pools": _manage_pool,
    "PUT /pools": _manage_pool,
    "DELETE /pools": _manage_pool,
    "GET /pools/{poolid}": need("/pool/{poolid}", "Pool.Audit"),
    "PUT /pools/{poolid}": _manage_pool,
    "DELETE /pools/{poolid}": _manage_pool,
    "GET /storage": everybody,
    "POST /storage": _manage_storages,
    "GET /storage/{storage}": need("/storage/{storage}", "Datastore.Allocate"),
    "PUT /storage/{storage}": _manage_storages,
    "DELETE /storage/{storage}": _manage_storages,
}

_NODE: dict[str, Check] = {
    "GET /nodes": everybody,
    f"GET {NODE}": everybody,
    f"GET {NODE}/firewall/options": _audit_node,
    f"PUT {NODE}/firewall/options": _modify_node,
    f"GET {NODE}/network": everybody,
    f"GET {NODE}/qemu": everybody,
    f"POST {NODE}/qemu": everybody,
    f"GET {NODE}/rrddata": _audit_node,
    f"GET {NODE}/status": _audit_node,
    f"GET {NODE}/time": _audit_node,
    f"GET {NODE}/tasks": everybody,
    f"GET {NODE}/tasks/{{upid}}": everybody,
    f"DELETE {NODE}/tasks/{{upid}}": everybody,
    f"GET {NODE}/tasks/{{upid}}/log": everybody,
    f"GET {NODE}/tasks/{{upid}}/status": everybody,
    f"GET {NODE}/version": everybody,
    f"POST {NODE}/vzdump": everybody,
    f"GET {NODE}/vzdump/defaults": everybody,
    f"GET {NODE}/vzdump/extractconfig": everybody,
    f"GET {NODE}/storage": everybody,
    f"GET {STORAGE}": _see_storage,
    f"GET {STORAGE}/status": _see_storage,
    f"GET {STORAGE}/rrddata": _see_storage,
    f"GET {STORAGE}/content": _see_storage,
    f"POST {STORAGE}/content": need("/storage/{storage}", "Datastore.AllocateSpace"),
    f"GET {STORAGE}/content/{{volume}}": everybody,
    f"PUT {STORAGE}/content/{{volume}}": everybody,
    f"DELETE {STORAGE}/content/{{volume}}": everybody,
    f"GET {STORAGE}/prunebackups": _see_storage,
    f"DELETE {STORAGE}/prunebackups": everybody,
    f"POST {STORAGE}/upload": _fill_storage,
    f"POST {STORAGE}/download-url": both(
        _fill_storage,
        either(need("/", "Sys.Audit", "Sys.Modify"), need("/nodes/{node}", "Sys.AccessNetwork")),
    ),
}

_QEMU: dict[str, Check] = {
    f"GET {VM}": everybody,
    f"DELETE {VM}": _allocate,
    f"POST {VM}/clone": both(
        need("/vms/{vmid}", "VM.Clone"),
        either(
            need("/vms/{newid}", "VM.Allocate"), with_parameter("pool", need("/pool/{pool}", "VM.Allocate"))
        ),
    ),
    f"GET {VM}/cloudinit": _audit,
    f"PUT {VM}/cloudinit": need("/vms/{vmid}", "VM.Config.Cloudinit"),
    f"GET {VM}/cloudinit/dump": _audit,
    f"GET {VM}/config": _audit,
    f"POST {VM}/config": _configure,
    f"PUT {VM}/config": _configure,
    f"GET {VM}/feature": _audit,
    f"GET {VM}/migrate": need("/vms/{vmid}", "VM.Migrate"),
    f"POST {VM}/migrate": need("/vms/{vmid}", "VM.Migrate"),
    f"POST {VM}/monitor": before_9(
        need("/vms/{vmid}", "VM.Monitor"), need_any("/vms/{vmid}", "Sys.Audit", "Sys.Modify")
    ),
    f"POST {VM}/move_disk": _disk,
    f"GET {VM}/pending": _audit,
    f"PUT {VM}/resize": _disk,
    f"GET {VM}/rrddata": _audit,
    f"PUT {VM}/sendkey": _console,
    f"GET {VM}/snapshot": _audit,
    f"POST {VM}/snapshot": need("/vms/{vmid}", "VM.Snapshot"),
    f"GET {VM}/snapshot/{{snapname}}": everybody,
    f"DELETE {VM}/snapshot/{{snapname}}": need("/vms/{vmid}", "VM.Snapshot"),
    f"GET {VM}/snapshot/{{snapname}}/config": need_any(
        "/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"
    ),
    f"PUT {VM}/snapshot/{{snapname}}/config": need("/vms/{vmid}", "VM.Snapshot"),
    f"POST {VM}/snapshot/{{snapname}}/rollback": need_any(
        "/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback"
    ),
    f"GET {VM}/status": everybody,
    f"GET {VM}/status/current": _audit,
    **{
        f"POST {VM}/status/{verb}": _power
        for verb in ("reboot", "reset", "resume", "shutdown", "start", "stop", "suspend")
    },
    f"POST {VM}/template": _allocate,
    f"POST {VM}/termproxy": _console,
    f"PUT {VM}/unlink": _disk,
    f"POST {VM}/vncproxy": _console,
    f"GET {VM}/vncwebsocket": _console,
}

_audit_agent = agent("VM.GuestAgent.Audit")
_agent_files = agent("VM.GuestAgent.FileSystemMgmt")
_agent_all = agent()
_INFORMATION = (
    *("get-fsinfo", "get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time"),
    *("get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces"),
)

_GUEST_AGENT: dict[str, Check] = {
    f"GET {_AGENT}": everybody,
    f"POST {_AGENT}": _agent_all,
    f"POST {_AGENT}/exec": _agent_all,
    f"GET {_AGENT}/exec-status": _agent_all,
    f"GET {_AGENT}/file-read": agent("VM.GuestAgent.FileRead"),
    f"POST {_AGENT}/file-write": agent("VM.GuestAgent.FileWrite"),
    f"POST {_AGENT}/fsfreeze-freeze": _agent_files,
    f"POST {_AGENT}/fsfreeze-status": agent("VM.GuestAgent.Audit", "VM.GuestAgent.FileSystemMgmt"),
    f"POST {_AGENT}/fsfreeze-thaw": _agent_files,
    f"POST {_AGENT}/fstrim": _agent_files,
    **{f"GET {_AGENT}/{name}": _audit_agent for name in _INFORMATION},
    f"POST {_AGENT}/ping": _audit_agent,
    f"POST {_AGENT}/set-user-password": _agent_all,
    **{
        f"POST {_AGENT}/{verb}": agent("VM.PowerMgmt")
        for verb in ("shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram")
    },
}

_MEMBERS = ("rules/{pos}", "ipset/{name}/{cidr}", "aliases/{name}")
_OBJECTS = ("options", "rules", "ipset", "ipset/{name}", "aliases", *_MEMBERS)
_VM_FIREWALL: dict[str, Check] = {
    f"GET {_FIREWALL}": everybody,
    f"GET {_FIREWALL}/refs": _audit,
    **{f"GET {_FIREWALL}/{path}": _audit for path in _OBJECTS},
    f"PUT {_FIREWALL}/options": _network,
    **{f"POST {_FIREWALL}/{path}": _network for path in ("rules", "ipset", "ipset/{name}", "aliases")},
    **{f"DELETE {_FIREWALL}/{path}": _network for path in (*_MEMBERS, "ipset/{name}")},
    **{f"PUT {_FIREWALL}/{path}": _network for path in _MEMBERS},
}

RULES: Mapping[str, Check] = _ACCESS | _CLUSTER | _NODE | _QEMU | _GUEST_AGENT | _VM_FIREWALL


def is_public(method: str, path: str) -> bool:
    """Whether a request needs no authentication at all."""
    return RULES.get(f"{method} {path}") is world


def check(host: "Host", method: str, path: str, who: str, given: Given) -> None:
    """Raises `Failure` (403) when somebody may not even ask. `path` is the route's, with its `{…}`."""
    if who == ROOT:
        return
    if (rule := RULES.get(f"{method} {path}")) is None:
        raise denied("user != root@pam")
    rule(host, who, given)
