#!/usr/bin/env python3
"""identity: makes somebody of a guest that was copied or put back, and says of each thing how it was proven.

    identity.py BUNDLE.json [--now SECONDS]

The runner starts it while it applies a bundle, before any agent runs. It does its work once for each `of` in the
bundle's identity: asked again, it gives the same answer. That is one line of JSON, an object per thing: `renewed`, and
`old` and `new` where there are such, with `proof`, or with `why` nothing was done. Secrets are not in it: of what is
not for everybody it holds the first digits of the SHA-256.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.environ.get("GUEST_ROOT", "").rstrip("/")
STATE = ROOT + "/var/lib/autovibe"
RECORD = STATE + "/identity.json"
MACHINE_ID, HOSTNAME, SSH = ROOT + "/etc/machine-id", ROOT + "/etc/hostname", ROOT + "/etc/ssh"
SEED = ROOT + "/var/lib/systemd/random-seed"

CLOCK_SECONDS = 1.0  # a smaller difference is the time that our question took
SEED_BYTES = 512  # systemd-random-seed.service(8)
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207  # random(4)
KEYS_SECONDS = 60.0  # how long making host keys may take on a slow processor
# The gateway's tokens, as machines.tokens makes them; where one was, as many characters that are none.
TOKEN = re.compile(rb"avm_[A-Za-z0-9_-]{43}")
SCRUBBED = b"scrubbed-gateway-token".ljust(47, b"-")
SEARCHED = ("/var/lib/autovibe", "/root", "/home", "/tmp", "/var/tmp", "/workspace")
SEARCH_SECONDS = 2.0  # what is not looked through by then is not: a workspace may be large
SEARCH_BYTES = 64 << 20  # the largest file that is looked into

Item = dict[str, Any]


def become(bundle: dict[str, Any], now: float | None) -> dict[str, Item]:
    """Give the guest the bundle's identity, and say what came of it."""
    identity = bundle["identity"]
    known = _read_json(RECORD)
    if known.get("of") != identity["of"]:
        known = {"of": identity["of"], "old": _present()}
        _write(RECORD, json.dumps(known).encode(), 0o600)
    if "answer" not in known:
        known["answer"] = _renewed(bundle, known["old"], now)
        _write(RECORD, json.dumps(known).encode(), 0o600)
    return dict(known["answer"])


def _present() -> dict[str, Any]:
    return {"machine_id": _read(MACHINE_ID), "hostname": _read(HOSTNAME), "host_keys": _fingerprints()}


def _renewed(bundle: dict[str, Any], old: dict[str, Any], now: float | None) -> dict[str, Item]:
    identity = bundle["identity"]
    shared = bool(identity.get("shared_kernel"))
    answer = {"clock": _tried(lambda: clock(now, shared))}  # first: the rest takes time
    if "machine_id" in identity:
        answer["machine_id"] = _tried(lambda: machine_id(old["machine_id"], identity["machine_id"]))
    if "hostname" in identity:
        answer["hostname"] = _tried(lambda: hostname(old["hostname"], identity["hostname"]))
    answer["host_keys"] = _tried(lambda: host_keys(old["host_keys"]))
    answer["randomness"] = _tried(lambda: randomness(identity.get("entropy") or "", shared))
    answer["token"] = _tried(lambda: tokens(str(bundle.get("token") or "").encode()))
    return answer


def _tried(renew: Any) -> Item:
    try:
        return dict(renew())
    except (OSError, subprocess.SubprocessError) as error:
        return {"renewed": False, "why": f"The guest refused: {error}."}


# --- who it is


def machine_id(old: str, wanted: str) -> Item:
    """Write machine-id(5), and D-Bus's own copy where it is one."""
    line = wanted.encode() + b"\n"
    _write(MACHINE_ID, line, 0o644)
    copy = ROOT + "/var/lib/dbus/machine-id"
    if os.path.isfile(copy) and not os.path.islink(copy):
        _write(copy, line, 0o644)
    found = _read(MACHINE_ID)
    return _compared(_digest(old), _digest(found), "read back from /etc/machine-id")


def hostname(old: str, wanted: str) -> Item:
    """Write hostname(5), and tell the kernel where it is this guest's own."""
    _write(HOSTNAME, wanted.encode() + b"\n", 0o644)
    if _under_systemd():  # an embedded guest shares its host's, or may not
        with suppress(OSError, subprocess.SubprocessError):
            _run(["hostnamectl", "set-hostname", wanted], 10)
    found = _read(HOSTNAME)
    kernel = (
        "the kernel has it too"
        if os.uname().nodename == wanted
        else "the kernel has it from the next boot on"
    )
    return _compared(old, found, f"read back from /etc/hostname; {kernel}", renewed=found == wanted)


def host_keys(old: list[str]) -> Item:
    """Delete the SSH server's keys, and make new ones where that can be done."""
    if not old and not os.path.exists(f"{SSH}/sshd_config"):
        return {"renewed": False, "why": "There is no SSH server in this guest."}
    for path in glob.glob(f"{SSH}/ssh_host_*_key") + glob.glob(f"{SSH}/ssh_host_*_key.pub"):
        os.unlink(path)
    program = shutil.which("ssh-keygen")
    if program is None:
        why = "The old ones were deleted; ssh-keygen is not there to make new ones."
        return {"renewed": False, "old": old, "why": why}
    _run([program, "-A", *(["-f", ROOT] if ROOT else [])], KEYS_SECONDS, check=True)
    if _under_systemd():
        with suppress(OSError, subprocess.SubprocessError):
            _run(["systemctl", "--no-block", "try-restart", "ssh.service", "sshd.service"], 10)
    new = _fingerprints()
    renewed = bool(new) and not set(new) & set(old)
    return {"renewed": renewed, "old": old, "new": new, "proof": "fingerprints of the keys in /etc/ssh"}


def _fingerprints() -> list[str]:
    """Of the server's public keys, as `ssh-keygen -l` shows them."""
    found = []
    for path in sorted(glob.glob(f"{SSH}/ssh_host_*_key.pub")):
        fields = _read(path).split()
        with suppress(ValueError, IndexError):
            digest = hashlib.sha256(base64.b64decode(fields[1])).digest()
            found.append("SHA256:" + base64.b64encode(digest).decode().rstrip("="))
    return found


# --- what it must not share


def clock(now: float | None, shared: bool) -> Item:
    """Step the clock to the control plane's, where it is this guest's own and differs."""
    if shared or now is None:
        return {
            "renewed": False,
            "why": "It is shared with the host." if shared else "Nobody said what time it is.",
        }
    off = time.time() - now
    answer: Item = {"off_by_seconds": round(off, 3)}
    if abs(off) <= CLOCK_SECONDS:
        return {**answer, "renewed": False, "why": f"It was right to within {CLOCK_SECONDS:.0f} s."}
    time.clock_settime(time.CLOCK_REALTIME, now)
    left = time.time() - now
    return {**answer, "renewed": abs(left) <= CLOCK_SECONDS, "proof": f"read again: off by {left:.3f} s"}


def randomness(entropy: str, shared: bool) -> Item:
    """Reseed the kernel's generator and what systemd would seed it with at the next boot.

    `new` shows that two copies of a guest go on differently: it is of numbers drawn for that and nothing else.
    """
    seed = base64.b64decode(entropy)
    with open("/dev/urandom", "wb", buffering=0) as device:
        device.write(seed)
        proof = "mixed into the generator of the kernel that it shares with the host"
        if not shared:
            fcntl.ioctl(device, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
            fcntl.ioctl(device, RNDRESEEDCRNG)
            proof = f"{len(seed)} bytes credited to the kernel's generator, which was reseeded"
    if os.path.exists(SEED):
        _write(SEED, os.urandom(SEED_BYTES), 0o600)
        proof += "; /var/lib/systemd/random-seed was replaced"
    drawn = hashlib.sha256(os.urandom(32)).hexdigest()[:12]
    return {"renewed": True, "new": drawn, "proof": proof}


def tokens(own: bytes) -> Item:
    """Overwrite every other gateway token in files of ours, of the agent and of the workspace."""
    deadline = time.monotonic() + SEARCH_SECONDS
    scrubbed = looked = 0
    complete = True
    for path in _files():
        if time.monotonic() > deadline:
            complete = False
            break
        looked += 1
        with suppress(OSError):
            scrubbed += _scrub(path, own)
    proof = f"{looked} files looked through" + (
        "" if complete else f", all that {SEARCH_SECONDS:.0f} s were enough for"
    )
    return {"renewed": True, "scrubbed": scrubbed, "complete": complete, "proof": proof}


def _files() -> Iterator[str]:
    for top in SEARCHED:
        for directory, below, names in os.walk(ROOT + top):
            if not os.access(directory, os.W_OK):
                below.clear()  # mounted read-only: not this guest's own, nor to be changed
                continue
            if directory.endswith("/.git"):
                below[:] = [name for name in below if name != "objects"]  # compressed: nothing is found there
            for name in names:
                yield os.path.join(directory, name)


def _scrub(path: str, own: bytes) -> int:
    """How many tokens were overwritten; everything else about the file stays as it is."""
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode) or not len(SCRUBBED) <= info.st_size <= SEARCH_BYTES:
        return 0
    with open(path, "rb") as file:
        content = file.read()
    found = (
        [match.start() for match in TOKEN.finditer(content) if match[0] != own] if b"avm_" in content else []
    )
    if found:
        with open(path, "r+b") as file:
            for at in found:
                file.seek(at)
                file.write(SCRUBBED)
    return len(found)


# --- small things


def _compared(old: str, new: str, proof: str, *, renewed: bool | None = None) -> Item:
    return {"renewed": old != new if renewed is None else renewed, "old": old, "new": new, "proof": proof}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


def _under_systemd() -> bool:
    return not ROOT and os.path.isdir("/run/systemd/system")


def _run(command: list[str], seconds: float, *, check: bool = False) -> None:
    subprocess.run(command, timeout=seconds, check=check, capture_output=True, stdin=subprocess.DEVNULL)


def _read(path: str) -> str:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()
    return ""


def _read_json(path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(_read(path) or "{}"))
    except (ValueError, TypeError):
        return {}


def _write(path: str, data: bytes, mode: int) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="a guest's identity")
    parser.add_argument("bundle")
    parser.add_argument("--now", type=float)
    asked = parser.parse_args(arguments)
    print(json.dumps(become(_read_json(asked.bundle), asked.now)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
