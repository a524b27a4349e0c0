"""Where a template is built: a node, and its storages for the disk, the cloud image and the seed."""

from collections.abc import Iterable
from dataclasses import dataclass

from machines.templates.errors import BuildError
from proxmox.connect import driver
from proxmox.driver import Storage
from proxmox.storage_kinds import abilities


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and the storages on it by what they are used for. The last two are empty where nothing is imported."""

    node: str
    disk: Storage
    imports: str = ""
    isos: str = ""

    @property
    def disk_options(self) -> str:
        """What a disk there has to say of itself: in files, only qcow2 has snapshots."""
        files = "images" in self.disk.content and self.disk.kind in {"dir", "nfs", "cifs"}
        return ",format=qcow2" if files else ""


def choose(*, node: str = "", storage: str = "", imported: bool) -> Place:
    """The first node online that has what it takes. Raises `BuildError` with what is missing, and its mending."""
    online = sorted(one.name for one in driver().nodes() if one.online and node in {"", one.name})
    if not online:
        known = ", ".join(sorted(one.name for one in driver().nodes()))
        raise BuildError(
            f"Node {node} is not online; the cluster's nodes are {known}." if node else "No node is online."
        )
    storages = [one for one in driver().storages() if one.active]
    lacking: BuildError | None = None
    for name in online:
        try:
            return _on(name, [one for one in storages if one.node == name], storage, imported=imported)
        except BuildError as error:
            lacking = lacking or error
    assert lacking
    raise lacking


def _on(node: str, storages: list[Storage], wanted: str, *, imported: bool) -> Place:
    disk = _for_disks(node, storages, wanted)
    if not imported:
        return Place(node, disk)
    return Place(node, disk, _holding("import", node, storages), _holding("iso", node, storages))


def _for_disks(node: str, storages: Iterable[Storage], wanted: str) -> Storage:
    fit = [one for one in storages if "images" in one.content and wanted in {"", one.name}]
    if not fit:
        which = (
            f"Storage {wanted} on node {node} does not hold" if wanted else f"No storage on node {node} holds"
        )
        raise BuildError(
            f"{which} VM disks. Allow it there: pvesm set {wanted or 'STORAGE'} --content images,…"
        )
    best = max(fit, key=_worth)
    if not abilities(best.kind, best.chain).template:
        raise BuildError(
            f"Storage {best.name} ({best.kind}) on node {node} cannot hold templates; choose another one."
        )
    return best


def _worth(storage: Storage) -> tuple[int, ...]:
    can = abilities(storage.kind, storage.chain)
    return can.template, can.links_snapshots, can.copies_snapshots, can.snapshot, storage.available_bytes


def _holding(content: str, node: str, storages: Iterable[Storage]) -> str:
    """The first by name, so that a command that is given again looks at the same one."""
    if fit := sorted(one.name for one in storages if content in one.content):
        return fit[0]
    raise BuildError(
        f"No storage on node {node} takes content of the kind {content!r}. "
        f"Allow it on a directory storage, on that node: pvesm set local --content iso,vztmpl,backup,import"
    )
