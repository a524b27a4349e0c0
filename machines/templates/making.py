"""The VM that becomes a template: from a cloud image to a running guest, and from a cleaned guest to the template."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import requests
from django.conf import settings

from guests import actions as guests
from guests.locks import half_made
from guests.reconcile import look_at_disk
from machines.templates import seed
from machines.templates.build import Build, Step, await_task
from machines.templates.errors import BuildError
from machines.templates.recipe import Image
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Power

TAGS = f"{MARK};template"
AGENT_SECONDS = 900  # a first boot that installs the agent from a slow mirror
# Each question to a VM that boots occupies one of pvedaemon's three workers for 3 s (qemu-server: guest-ping).
ASK_SECONDS = 2
SHUTDOWN_SECONDS = 120
# The kernel of Debian's cloud images knows no IDE and no SATA drives.
SEED_DRIVE = "scsi1"
# What the description says of how far a build is.
MADE, PROVISIONED, CLEANED = STAGES = ("made", "provisioned", "cleaned")


def described(build: Build, stage: str) -> str:
    """The VM's description; the guest's id in it is the proof that the VM is ours."""
    return "\n".join(
        [
            f"autovibe template {build.recipe.name}",
            f"recipe: {build.digest}",
            f"stage: {stage}",
            str(build.guest.id),
        ]
    )


def mark(build: Build, stage: str) -> None:
    """Write down how far the build is."""
    driver().configure(build.vm, {"description": described(build, stage)})


def passed(build: Build, stage: str) -> bool:
    """Whether the build has come so far."""
    found = re.search(
        rf"^stage: ({'|'.join(STAGES)})$", driver().config(build.vm).get("description", ""), re.MULTILINE
    )
    return found is not None and STAGES.index(found[1]) >= STAGES.index(stage)


# --- the image ---


def image_name(image: Image) -> str:
    """The image's file name on its storage: the same for the same image only."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(urlsplit(image.url).path).name, flags=re.ASCII)
    found = re.search(r"(\.tar)?\.\w+$", name)
    ending = found[0] if found else ""
    stem = name.removesuffix(ending)
    which = hashlib.sha256(f"{image.url} {image.sha512}".encode()).hexdigest()[:8]
    # Ubuntu's .img are qcow2; Proxmox goes by the ending.
    return f"autovibe-{stem}-{which}{'.qcow2' if ending == '.img' else ending}"


def _volume(build: Build) -> str:
    assert build.image
    return f"{build.place.imports}:import/{image_name(build.image)}"


def _has_image(build: Build) -> bool:
    volumes = driver().volumes(build.place.node, build.place.imports, "import")
    return _volume(build) in volumes or _is_made(build)


def _fetch(build: Build) -> str | None:
    assert build.image
    return driver().download(
        build.place.node,
        build.place.imports,
        build.image.url,
        image_name(build.image),
        content="import",
        sha512=build.image.sha512 or published_digest(build.image.url),
    )


def published_digest(url: str) -> str:
    """The image's SHA-512 from the list beside it, as distributions publish it. Raises `BuildError`."""
    address, _, name = url.rpartition("/")
    try:
        answer = requests.get(f"{address}/SHA512SUMS", timeout=30)
        answer.raise_for_status()
        found = re.search(rf"^([0-9a-f]{{128}})\s+\*?{re.escape(name)}$", answer.text, re.MULTILINE)
    except requests.RequestException as error:
        raise BuildError(
            f"{address}/SHA512SUMS cannot be read ({error}): say with --sha512 what {name} must be."
        ) from None
    if not found:
        raise BuildError(f"{address}/SHA512SUMS does not list {name}: say with --sha512 what it must be.")
    return found[1]


# --- the VM ---


def _is_made(build: Build) -> bool:
    """Raises `Stuck` when half a VM was left behind."""
    try:
        config = driver().config(build.vm)
    except (
        errors.Missing,
        errors.Refused,
    ):  # what is not in our pool yet is forbidden, whether it exists or not
        return False
    # A description is written last (qemu-server: create_vm), so half a VM is told by its lock alone.
    if config.get("lock") == "create":
        raise errors.Stuck(half_made(build.guest))
    return str(build.guest.id) in config.get("description", "")


def _make(build: Build) -> str | None:
    driver().ensure_pool(settings.PROXMOX_POOL)
    try:
        return driver().create(build.vm, _config(build))
    except errors.Exists:
        if not _is_made(build):
            _give_way(build)
        raise


def _give_way(build: Build) -> None:
    """The VMID is somebody else's. Raises `NotOurs` when it was asked for, and takes the next one otherwise."""
    if build.vmid_chosen:
        raise errors.NotOurs(
            f"VMID {build.vm.vmid} belongs to somebody else: choose another one with --vmid."
        )
    guests.renumber(build.guest)


def _config(build: Build) -> dict[str, str | int]:
    return {
        "name": f"autovibe-{build.recipe.name}",
        "description": described(build, MADE),
        "pool": settings.PROXMOX_POOL,
        "ostype": "l26",
        # Not `host`: clones are to run on every node.
        "cpu": "x86-64-v2-AES",
        "cores": build.recipe.cores,
        "memory": build.memory_mib,
        "scsihw": "virtio-scsi-single",
        "scsi0": _disk(build),
        "boot": "order=scsi0",
        "net0": f"virtio,bridge={build.bridge}",
        "agent": 1,
        "serial0": "socket",
        "vga": "serial0",
    }


def _is_marked(build: Build) -> bool:
    config = driver().config(build.vm)
    return MARK in config.get("tags", "").split(";") and (build.kvm or config.get("kvm") == "0")


def _mark(build: Build) -> None:
    """To make a VM with tags, 9.2 wants rights on the VM itself, which is in no pool yet (qemu-server: API2/Qemu.pm).

    Clones take over what is said of KVM.
    """
    driver().configure(build.vm, {"tags": TAGS, **({} if build.kvm else {"kvm": 0})})


def _disk(build: Build) -> str:
    storage = build.place.disk.name
    source = f"0,import-from={_volume(build)}" if build.image else str(build.recipe.disk_gib)
    return f"{storage}:{source},discard=on,iothread=1,ssd=1{build.place.disk_options}"


def _is_large_enough(build: Build) -> bool:
    """Never smaller than the image: Proxmox cannot shrink a disk."""
    look_at_disk(build.guest)
    return passed(build, CLEANED) or build.guest.disk_bytes >= build.recipe.disk_gib * 1024**3


# --- the seed ---


def _seed_name(build: Build) -> str:
    return f"autovibe-seed-{build.vm.vmid}.iso"


def _seed_volume(build: Build) -> str:
    return f"{build.place.isos}:iso/{_seed_name(build)}"


def _is_seeded(build: Build) -> bool:
    return passed(build, CLEANED) or SEED_DRIVE in driver().config(build.vm)


def _seed(build: Build) -> str | None:
    content = seed.nocloud(
        build.recipe.user_data,
        instance=str(build.guest.id),
        hostname=f"autovibe-{build.recipe.name}",
        http_proxy=build.environment.get("http_proxy", ""),
    )
    if upid := driver().upload(build.place.node, build.place.isos, _seed_name(build), content):
        await_task(upid)
    driver().configure(build.vm, {SEED_DRIVE: f"{_seed_volume(build)},media=cdrom"})
    return None


def _unseed(build: Build) -> None:
    """The image goes first: as long as there is the drive, this is not done."""
    delete_seed(build.place.node, seed_of(driver().config(build.vm)), build.say)
    driver().configure(build.vm, {"delete": SEED_DRIVE})


def seed_of(config: Mapping[str, str]) -> str:
    """The volume of the seed in a VM's configuration; empty where there is none."""
    return config.get(SEED_DRIVE, "").partition(",")[0]


def delete_seed(node: str, volume: str, say: Callable[[str], None]) -> None:
    """Delete the seed's image. To delete an ISO takes a right of its own; without it, the image stays."""
    try:
        if upid := driver().delete_volume(node, volume):
            await_task(upid)
    except errors.Missing:
        pass  # an earlier attempt did it
    except errors.Refused as refusal:
        say(f"    The seed's image stays: {refusal}. On node {node} you may run: pvesm free {volume}")


# --- power ---


def _power(build: Build) -> Power:
    return driver().observe(build.vm).power


def _answers(build: Build) -> bool:
    return passed(build, CLEANED) or driver().agent_answers(build.vm)


def _start(build: Build) -> None:
    try:
        if upid := driver().start(build.vm):
            await_task(upid)
    except (BuildError, errors.Refused) as failure:
        if "KVM virtualisation configured, but not available" not in str(failure):
            raise
        raise BuildError(
            f"Node {build.vm.node} has no KVM: the processor's virtualization is off, in its BIOS or, where the node "
            "is a VM itself, in that VM's processor type. To do without, slowly, add --no-kvm to this command."
        ) from None


def _await_agent(build: Build) -> None:
    """Called when the agent has just been asked."""
    deadline = time.monotonic() + AGENT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(ASK_SECONDS)
        if driver().agent_answers(build.vm):
            return
    raise BuildError(
        f"The guest agent of VM {build.vm.vmid} did not answer within {AGENT_SECONDS // 60} minutes. At its first boot "
        f"the guest installs it: {build.bridge} has to give it an address (DHCP) and a way to its distribution's "
        "mirrors, or --environment http_proxy=… one. Its console shows what it waits for."
    )


FETCH = Step("Fetching the cloud image", _has_image, _fetch)
MAKE = Step("Making the VM", _is_made, _make)
MARK_IT = Step("Marking it as ours", _is_marked, _mark)
GROW = Step(
    "Making its disk larger",
    _is_large_enough,
    lambda build: driver().resize(build.vm, "scsi0", build.recipe.disk_gib),
)
SEED = Step("Attaching the seed of its first boot", _is_seeded, _seed)
START = Step(
    "Starting it",
    lambda build: passed(build, CLEANED) or _power(build) == Power.RUNNING,
    _start,
)
AGENT = Step("Waiting for its guest agent", _answers, _await_agent)
STOP = Step(
    "Shutting it down",
    lambda build: _power(build) == Power.STOPPED,
    lambda build: driver().shut_down(build.vm, SHUTDOWN_SECONDS),
)
UNSEED = Step("Detaching the seed", lambda build: SEED_DRIVE not in driver().config(build.vm), _unseed)
CONVERT = Step(
    "Making it a template",
    lambda build: driver().observe(build.vm).template,
    lambda build: driver().make_template(build.vm),
)
