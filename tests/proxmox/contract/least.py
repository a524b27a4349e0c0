"""A token that may do what docs/proxmox.md says autovibe needs, and nothing else."""

import os
from collections.abc import Iterator

import requests

from proxmox.diagnosis import roles
from proxmox.diagnosis.roles import Need
from tests.node_process import NodeProcess

POOL = os.environ.get("PVE_CONTRACT_POOL", "autovibe-contract")
TEMPLATE = int(os.environ.get("PVE_CONTRACT_TEMPLATE", "9000"))
USER, TOKEN_ID = "least@pve", "least@pve!ci"


def give_least_rights(node: NodeProcess, release: str) -> str:
    """Make user, token, pool, roles and access on an embedded node, as its superuser; the token."""

    def call(method: str, url: str, **sent: str) -> requests.Response:
        answer = requests.request(
            method, f"{node.url}/api2/json{url}", data=sent, headers=node.headers, timeout=10
        )
        assert answer.ok or "already exists" in answer.reason, f"{url}: {answer.reason} {answer.text}"
        return answer

    call("POST", "/pools", poolid=POOL)
    call("POST", "/access/users", userid=USER)
    made = call("POST", f"/access/users/{USER}/token/ci").json()["data"]
    storages = requests.get(f"{node.url}/api2/json/storage", headers=node.headers, timeout=10).json()["data"]
    for need in _needs(int(release[0]), [row["storage"] for row in storages]):
        if need.role in {roles.AGENT, roles.AUDIT}:
            call("POST", "/access/roles", roleid=need.role, privs=",".join(sorted(need.privileges)))
        call("PUT", "/access/acl", path=need.path, roles=need.role, users=USER)
        call("PUT", "/access/acl", path=need.path, roles=need.role, tokens=TOKEN_ID)
    return f"{TOKEN_ID}={made['value']}"


def _needs(release: int, storages: list[str]) -> Iterator[Need]:
    yield roles.on_pool(POOL, release)
    yield roles.on_template(TEMPLATE)
    yield from map(roles.on_storage, storages)
    yield roles.on_bridge("vmbr0")
    yield roles.on_cluster()
