"""How a guest's first process is started: in a bubblewrap sandbox whose root is the guest's disk, or without one.

A sandbox keeps honest programs apart, each with a file tree and processes of its own. It shares the kernel, and the
network unless the guest's firewall closes it (`outlets`): it is no security boundary.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

INIT = Path(__file__).with_name("init.py")
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# What a program needs of the host's /etc to find names, libraries and certificates; nothing with a secret in it.
_ETC = (
    *(
        "alternatives",
        "ca-certificates",
        "ca-certificates.conf",
        "crypto-policies",
        "debian_version",
        "group",
    ),
    *(
        "host.conf",
        "hosts",
        "inputrc",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "localtime",
        "mime.types",
    ),
    *("nsswitch.conf", "passwd", "pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "profile", "protocols"),
    *("resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone"),
)
_CLOSED = ("--unshare-net",)
_TREES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What a container engine leaves to root, too.
_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT"),
)


@dataclass(frozen=True, slots=True)
class Spawned:
    """A guest's first process, and the process to wait for that stands for it here (they differ in a sandbox)."""

    pid: int
    waiter: "subprocess.Popen[bytes]"


class Sandbox:
    """The way guests are started on this host, found out once."""

    def __init__(self, *, wanted: bool, host_paths: tuple[Path, ...]) -> None:
        """`wanted`: use bubblewrap where it works; `host_paths`: directories that guests see, read-only."""
        self._program = shutil.which("bwrap") if wanted else None
        self._python = os.path.realpath(sys.executable)
        self._paths = (*host_paths, *_outside_usr(Path(sys.base_prefix)))
        if self._program and not self._works():
            self._program = None

    @property
    def active(self) -> bool:
        """Whether guests are sandboxed."""
        return self._program is not None

    @cached_property
    def closes(self) -> bool:
        """Whether a guest can be given a network of its own."""
        return self.active and self._works(*_CLOSED)

    def spawn(
        self,
        disk: Path,
        hostname: str,
        listener: socket.socket,
        console: Path,
        outlets: Sequence[tuple[str, int]] | None = None,
    ) -> Spawned:
        """Start a guest's first process on `disk`; it answers on `listener` and writes to `console`.

        `outlets`: give it a network of its own where it listens on these addresses; None: it shares this computer's.
        """
        command = [self._python, "-I", "-S", "-", str(listener.fileno()), json.dumps(outlets or [])]
        with INIT.open("rb") as program, console.open("ab") as output:
            if not self.active:
                environment = self._environment() | {"GUEST_ROOT": str(disk)}
                waiter = _popen(command, program, output, (listener.fileno(),), cwd=disk, env=environment)
                return Spawned(waiter.pid, waiter)
            read, write = os.pipe()
            closed = () if outlets is None else _CLOSED
            arguments = ["--info-fd", str(write), *self._arguments(disk, hostname), *closed, "--", *command]
            with os.fdopen(read, "rb") as info:
                try:
                    waiter = _popen(
                        [str(self._program), *arguments], program, output, (listener.fileno(), write)
                    )
                finally:
                    os.close(write)
                return Spawned(_child(info.read(), waiter), waiter)

    def prepare(self, disk: Path) -> None:
        """Make the disk bootable: the links that stand for the host's programs."""
        for name in _TREES if self.active else ():
            host, link = Path("/", name), disk / name
            if host.is_symlink() and not os.path.lexists(link):
                link.symlink_to(os.readlink(host))

    def _environment(self) -> dict[str, str]:
        return {"PATH": ":".join(self._search_path()), "LANG": "C.UTF-8"}

    def _search_path(self) -> list[str]:
        """Proxmox's guest agent has the system's default; programs of host paths come after it."""
        candidates = [directory for path in self._paths for directory in (path / "bin", path)]
        return [*PATH, *(str(path) for path in candidates if path.name == "bin" and path.is_dir())]

    def _arguments(self, disk: Path, hostname: str) -> list[str]:
        arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--hostname", hostname]
        arguments += ["--bind", str(disk), "/", "--ro-bind", "/usr", "/usr"]
        for name in _TREES:
            if Path("/", name).is_dir() and not Path("/", name).is_symlink():
                arguments += ["--ro-bind", f"/{name}", f"/{name}"]
        for name in _ETC:
            if Path("/etc", name).exists():
                arguments += ["--ro-bind", os.path.realpath(f"/etc/{name}"), f"/etc/{name}"]
        for path in self._paths:
            arguments += ["--ro-bind", str(path), str(path)]
        arguments += ["--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--clearenv"]
        for name, value in self._environment().items():
            arguments += ["--setenv", name, value]
        return arguments + _privileges()

    def _works(self, *further: str) -> bool:
        """Whether bubblewrap may do all that here; kernels and containers often forbid some of it."""
        with tempfile.TemporaryDirectory() as directory:
            self.prepare(Path(directory))
            arguments = self._arguments(Path(directory), "probe")
            command = [str(self._program), *arguments, *further, "--", self._python, "-I", "-S", "-c", ""]
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def _privileges() -> list[str]:
    """Guests run as root. Where we are not, a user namespace makes them look so to themselves."""
    if os.geteuid():
        return ["--unshare-user", "--uid", "0", "--gid", "0"]
    return ["--cap-drop", "ALL", *(word for name in _CAPABILITIES for word in ("--cap-add", f"CAP_{name}"))]


def _outside_usr(prefix: Path) -> tuple[Path, ...]:
    return () if prefix.is_relative_to("/usr") else (prefix,)


def _popen(
    command: list[str],
    program: IO[bytes],
    output: IO[bytes],
    descriptors: tuple[int, ...],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=program,
        stdout=output,
        stderr=output,
        pass_fds=descriptors,
        cwd=cwd,
        env=env,
        start_new_session=True,  # what ends the node's terminal must not end its guests
    )


def _child(info: bytes, waiter: "subprocess.Popen[bytes]") -> int:
    """The pid that bubblewrap reports; its own when it failed before there was another."""
    return int(json.loads(info)["child-pid"]) if info.strip() else waiter.pid
