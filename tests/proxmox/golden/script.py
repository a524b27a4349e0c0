"""How the recordings are played: what phases need, how the node is started, and where time has to be made.

The recorded computer took its time; a node whose guests are processes is told to take some where the recording
depends on it.
"""

RELEASES = ("8.4", "9.2")
# In the order of the recording of 8.4; that of 9.2 ends with `generic`.
PHASES = (
    *("auth", "generic", "create", "snapshot-offline", "clone", "permissions", "agent", "live-snapshot"),
    *("power", "backup", "storage", "delete"),
)
REQUIRES = {
    "snapshot-offline": ("create",),
    "clone": ("create", "snapshot-offline"),
    "permissions": ("create", "snapshot-offline"),
    "live-snapshot": ("agent",),
    "power": ("agent", "live-snapshot"),
    "backup": ("agent",),
    "storage": ("create", "snapshot-offline"),
    "delete": ("create", "snapshot-offline", "agent", "live-snapshot", "power", "backup", "storage"),
}
SECRET = "00000000-0000-4000-8000-000000000000"
PASSWORD = "the password of the tests"
OPTIONS = {
    "node_name": "pve1",
    "token": f"root@pam!lab={SECRET}",
    "root_password": PASSWORD,
    "storage_type": "qcow2",
    "lock_seconds": 1,
    "agent_seconds": 0.3,
    "boot_seconds": 2.5,
    "staleness_seconds": 2,
    "faults": True,
}
NEEDS_BACKUPS = {"8.4": ("generic", "clone", "backup"), "9.2": ()}
SECONDS = 60  # for one answer, one task, one guest
# Real tasks take long enough to do something meanwhile; these are slowed down by that many seconds.
SLOW = {
    ("8.4", "snapshot B concurrently"): 2,
    ("9.2", "snapshot B concurrently"): 2,
    ("8.4", "start a shutdown with long timeout"): 3,
    ("8.4", "vzdump stop mode"): 3,
    ("9.2", "vzdump stop mode"): 3,
    ("8.4", "vzdump to be cancelled"): 5,
    ("9.2", "vzdump to be cancelled"): 5,
}
BEGUN_SECONDS = 0.3  # after which a task has begun to work: the recorder was not quicker either
# The guest had been up for a while before these.
READY = (
    *("vzdump snapshot mode", "clone of running VM current state", "start a shutdown with long timeout"),
    "exec with non-ASCII argument (wedges the agent here)",
)
# What was refused in the recording, because the VM was suspended to disk, is undone here.
UNDO = {"snapshot while suspended to disk/log": ("DELETE", "qemu/200/snapshot/sus1")}
FILES = {"upload iso bad extension": "golden.txt"}
GUEST = {
    "memory": 384,
    "cores": 2,
    "kvm": 0,
    "agent": "1",
    "ostype": "l26",
    "scsihw": "virtio-scsi-pci",
    "scsi0": "local:1.46484375,format=qcow2",  # 1500 MiB
    "boot": "order=scsi0",
    "serial0": "socket",
    "vga": "serial0",
    "net0": "virtio,bridge=vmbr0",
}
