"""Whether the token holds what it needs, path by path."""

from collections.abc import Iterator

from proxmox.diagnosis import roles
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, missing, ok, plural, warning
from proxmox.diagnosis.roles import Need


def privileges(case: Case) -> Iterator[Finding]:
    for need in _needs(case):
        yield _judge(case, need)


def _needs(case: Case) -> Iterator[Need]:
    yield roles.on_pool(case.setup.pool, case.release)
    yield roles.on_template(case.setup.template)
    holding = case.template_storages
    yield from map(roles.on_storage, holding)
    yield from map(roles.on_bridge, case.template_bridges)
    yield roles.on_cluster()
    for name in dict.fromkeys(storage.name for storage in case.storages if "backup" in storage.content):
        if name not in holding:
            yield roles.on_backups(name)


def _judge(case: Case, need: Need) -> Finding:
    name = f"Rights on {need.path}"
    lacking = sorted(need.privileges - _held(case, need.path))
    if not lacking:
        return ok(name, f"{plural(len(need.privileges), 'privilege')} needed, and held.")
    verdict = missing if need.essential else warning
    setup = case.setup
    return verdict(
        name,
        f"The token lacks {', '.join(lacking)}: {need.without}.",
        *roles.grant(need, user=setup.user, token_id=setup.token_id),
    )


def _held(case: Case, path: str) -> frozenset[str]:
    found = roles.held(case.permissions, path)
    if not path.startswith("/sdn/zones/"):
        return found
    # A bridge may belong to another zone, and a right on one of its VLANs will do.
    bridge = path.rpartition("/")[2]
    return found.union(
        *(held for other, held in case.permissions.items() if other.split("/")[4:5] == [bridge])
    )
