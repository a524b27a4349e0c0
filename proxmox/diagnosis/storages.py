"""What each storage can do with checkpoints, how full it is, and how the template's lets machines branch."""

from collections.abc import Iterator

from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, listed, missing, ok, unknown, warning
from proxmox.driver import Storage
from proxmox.storage_kinds import Abilities, Branch, abilities

GIB = 1024**3
LOW_SHARE, LOW_BYTES = 0.1, 20 * GIB  # a thin pool that runs full pauses every VM on it

_SHORT = {
    Branch.LINKED: "branch by linked clone",
    Branch.COPY: "branch by full copy",
    Branch.FREEZE: "branch by freeze-and-fork",
}
_BRANCHING = {
    Branch.LINKED: "branch by linked clone, at once",
    Branch.COPY: "branch by full copy, minutes each",
    Branch.FREEZE: "branch by freeze-and-fork, from their last checkpoint after they ended",
}


def storages(case: Case) -> Iterator[Finding]:
    """One finding for each storage that can hold VM disks or backups."""
    named: dict[str, list[Storage]] = {}
    for storage in case.storages:
        if storage.content & {"images", "backup"}:
            named.setdefault(storage.name, []).append(storage)
    if not named:
        yield unknown(
            "Storages",
            "The token sees no storage that can hold VM disks or backups (that takes Datastore.Audit).",
        )
    for name, rows in named.items():
        yield _storage(name, rows, used=name in case.template_storages)


def _storage(name: str, rows: list[Storage], *, used: bool) -> Finding:
    title, kind = f"Storage {name}", rows[0].kind
    holds = " It holds the template." if used else ""
    what = f"{kind} on {listed(row.node for row in rows)}: {', '.join(_words(rows[0]))}.{holds}"
    asleep = [row.node for row in rows if not row.active]
    if asleep:
        return warning(
            title, f"It is not active on {listed(asleep)}. {what}", f"pvesm status --storage {name}"
        )
    low = [row for row in rows if _is_low(row)]
    return (
        warning(title, f"{_room(low[0])} left: too little. {what}", f"pvesm status --storage {name}")
        if low
        else ok(title, f"{what} {_room(min(rows, key=lambda row: row.available_bytes))} free.")
    )


def _words(storage: Storage) -> Iterator[str]:
    can = abilities(storage.kind, storage.chain)
    if "images" in storage.content:
        yield from _disk_words(can)
    if "backup" in storage.content and can.backups:
        yield "backups"


def _disk_words(can: Abilities) -> Iterator[str]:
    if not can.snapshot:
        yield "no snapshots"
        return
    yield "snapshots"
    yield "rollback to any of them" if can.rolls_back_any else "rollback to the newest only"
    yield _SHORT[can.branch] if can.branch else "no branching"
    if not can.template:
        yield "no templates"


def _words_of(can: Abilities) -> str:
    return _BRANCHING[can.branch] if can.branch else "cannot branch"


def _is_low(storage: Storage) -> bool:
    return storage.available_bytes < min(LOW_SHARE * storage.total_bytes, LOW_BYTES)


def _room(storage: Storage) -> str:
    return f"{storage.available_bytes / GIB:.1f} of {storage.total_bytes / GIB:.1f} GiB"


def branching(case: Case) -> Iterator[Finding]:
    """Whether machines from the template can be checkpointed, and how a checkpoint becomes another machine."""
    kinds = {storage.name: storage for storage in case.storages}
    for name in case.template_storages:
        if name in kinds:
            yield _branching(case, kinds[name])
        else:
            yield unknown(
                "Branching",
                f"The template is on {name}, which the token does not see (that takes Datastore.Audit).",
            )


def _branching(case: Case, storage: Storage) -> Finding:
    can, where = abilities(storage.kind, storage.chain), f"On {storage.name} ({storage.kind})"
    elsewhere = _build_elsewhere(case)
    if not can.snapshot:
        return missing(
            "Checkpoints", f"{where} there are no snapshots, so machines cannot be checkpointed.", elsewhere
        )
    if can.branches_snapshots:
        return ok("Branching", f"{where} machines {_words_of(can)}.")
    return _poor(case, f"{where} machines {_words_of(can)}", elsewhere)


def _build_elsewhere(case: Case) -> str:
    """A template on a storage where snapshots can be cloned, if there is one."""
    better = [
        storage.name
        for storage in case.storages
        if "images" in storage.content and abilities(storage.kind, storage.chain).branches_snapshots
    ]
    storage = better[0] if better else "<one of kind lvmthin or rbd, or files in qcow2>"
    return f"manage.py template build claude-code --storage {storage}"


def _poor(case: Case, where: str, elsewhere: str) -> Finding:
    """What backups add where snapshots cannot be cloned."""
    able = [storage.name for storage in case.storages if "backup" in storage.content and storage.active]
    chosen = case.setup.backup_storage
    if chosen in able:
        return ok("Branching", f"{where}, and from backups on {chosen}, minutes each.")
    if chosen:
        return missing(
            "Branching",
            f"{where}; the backup storage {chosen} is not there.",
            f"pvesm status --storage {chosen}",
        )
    suggested = able[0] if able else "<storage>"
    return warning(
        "Branching",
        f"{where}. With a backup storage also checkpoints that were asked for can be branched.",
        f"PROXMOX_BACKUP_STORAGE={suggested}",
        elsewhere,
    )
