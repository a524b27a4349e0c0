"""The first process of a guest, and its guest agent: runs commands, reads and writes files, collects the dead.

The node feeds this file to `python3 -` inside the guest, so it is one file and needs the standard library only.
Its arguments are the number of a listening socket, on which each connection carries one JSON line each way, and the
addresses to listen on for the node, as JSON: the only way out of a guest whose network is its own.
"""

import base64
import binascii
import json
import os
import platform
import pty
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

ROOT = os.environ.get("GUEST_ROOT", "")  # without a sandbox: the directory that plays the guest's disk
OUTPUT_LIMIT = 16 * 1024**2  # of each stream, as the QEMU guest agent keeps it
READ_LIMIT = 16 * 1024**2
CLIENT_SECONDS = 10
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

Message = dict[str, Any]


class Refused(Exception):
    """What the guest agent answers instead of doing it."""


class Stream:
    """What a command writes, kept up to the limit."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.truncated = False
        self.open = True

    def add(self, data: bytes) -> None:
        room = OUTPUT_LIMIT - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room


class Command:
    """A running or finished command whose end nobody has asked for yet."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.out = Stream()
        self.err = Stream()
        self.status: int | None = None  # negative: the signal that killed it

    @property
    def finished(self) -> bool:
        """Ended, and nobody holds its output open any more: a child it left behind may."""
        return self.status is not None and not self.out.open and not self.err.open

    def described(self) -> Message:
        """As exec-status reports it."""
        if not self.finished or self.status is None:
            return {"exited": 0}
        ended = {"signal": -self.status} if self.status < 0 else {"exitcode": self.status}
        answer: Message = {"exited": 1} | ended
        for name, stream in (("out", self.out), ("err", self.err)):
            if stream.kept:
                answer[f"{name}-data"] = stream.kept.decode("latin-1")
                answer[f"{name}-truncated"] = int(stream.truncated)
        return answer


class Agent:
    """The loop: connections, output of commands, and children that ended."""

    def __init__(self, listener: socket.socket, outlets: list[socket.socket]) -> None:
        self._listener = listener
        self._outlets = outlets
        self._commands: dict[int, Command] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._answer)
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: self._bury(woken))

    def serve(self) -> None:
        """Run for ever."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(CLIENT_SECONDS)
            try:
                message = _receive(connection)
                if message["do"] == "console":
                    give_console(connection)
                    return
                sockets = [outlet.fileno() for outlet in self._outlets if message["do"] == "listeners"]
                line = json.dumps(self._handle(message)).encode() + b"\n"
                if sockets:
                    socket.send_fds(connection, [line], sockets)
                else:
                    connection.sendall(line)
            except (OSError, ValueError):
                return  # the node went away; its next call is a new connection

    def _handle(self, message: Message) -> Message:
        try:
            return {"result": self._operation(message.pop("do"))(**message)}
        except Refused as refused:
            return {"error": str(refused)}

    def _operation(self, name: str) -> Callable[..., Any]:
        operations: dict[str, Callable[..., Any]] = {
            "ping": dict,
            "exec": self.execute,
            "status": self.status,
            "write": write_file,
            "read": read_file,
            "listeners": lambda: [outlet.getsockname()[:2] for outlet in self._outlets],
            "osinfo": osinfo,
            "hostname": lambda: {"host-name": socket.gethostname()},
        }
        return operations[name]

    def execute(self, argv: list[str], data: str) -> Message:
        """Start a command with `data` (Latin-1) as its input."""
        try:
            process = subprocess.Popen(
                argv,
                cwd=ROOT or "/",
                stdin=subprocess.PIPE if data else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Refused(f"Failed to execute child process: {error.strerror}") from None
        command = self._commands[process.pid] = Command(process)
        self._collect(process.stdout, command.out)
        self._collect(process.stderr, command.err)
        if process.stdin:
            self._feed(process.stdin, data.encode("latin-1"))
        return {"pid": process.pid}

    def status(self, pid: int) -> Message:
        """How a command stands; the answer that says it ended is given once."""
        command = self._commands.get(pid)
        if command is None:
            raise Refused("Invalid parameter 'pid'")
        answer = command.described()
        if answer["exited"]:
            del self._commands[pid]
        return answer

    def _collect(self, pipe: Any, stream: Stream) -> None:
        def read() -> None:
            data = os.read(pipe.fileno(), 1 << 16)
            stream.add(data)
            if not data:
                stream.open = False
                self._selector.unregister(pipe)
                pipe.close()

        self._selector.register(pipe, selectors.EVENT_READ, read)

    def _feed(self, pipe: Any, data: bytes) -> None:
        os.set_blocking(pipe.fileno(), False)
        left = memoryview(data)

        def write() -> None:
            nonlocal left
            try:
                left = left[os.write(pipe.fileno(), left) :]
            except BrokenPipeError:
                left = left[:0]
            if not left:
                self._selector.unregister(pipe)
                pipe.close()

        self._selector.register(pipe, selectors.EVENT_WRITE, write)

    def _bury(self, woken: socket.socket) -> None:
        """Wait for every child that ended, ours or inherited from a process that ended before it."""
        woken.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if command := self._commands.get(pid):
                command.status = command.process.returncode = os.waitstatus_to_exitcode(status)


def give_console(connection: socket.socket) -> None:
    """A shell in a new pseudo-terminal, whose other end goes to the node and nowhere else: closing it hangs up."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT or "/")
        os.environ |= {"TERM": "xterm-256color", "HOME": ROOT or "/root"}
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        os.execv(shell, [shell, "-i"])
    try:
        socket.send_fds(connection, [b'{"result": {}}\n'], [terminal])
    finally:
        os.close(terminal)


def write_file(path: str, data: str) -> None:
    """Replace a file by base64 `data`; a new one gets mode 0666, as the QEMU guest agent makes it."""
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Refused("Base64 data contains invalid characters") from None
    try:
        new = not os.path.lexists(_host(path))
        with open(_host(path), "wb") as file:
            if new:
                os.fchmod(file.fileno(), 0o666)
            file.write(content)
    except OSError as error:
        raise Refused(f"failed to open file '{path}' (mode: 'wb'): {error.strerror}") from None


def read_file(path: str, offset: int, count: int | None) -> Message:
    """A part of a file, as Latin-1."""
    try:
        file = open(_host(path), "rb")  # noqa: SIM115 (failing to open and failing to read are told apart)
    except IsADirectoryError:
        raise Refused("failed to read file: Is a directory") from None
    except OSError as error:
        raise Refused(f"failed to open file '{path}' (mode: 'r'): {error.strerror}") from None
    limit = READ_LIMIT if count is None else min(count, READ_LIMIT)
    with file:
        file.seek(offset)
        content = file.read(limit + 1)
    answer: Message = {"content": content[:limit].decode("latin-1"), "bytes-read": len(content[:limit])}
    return answer | ({"truncated": 1} if len(content) > limit else {})


def osinfo() -> Message:
    """What get-osinfo answers."""
    system = os.uname()
    release = _os_release()
    return {
        "id": release.get("ID", "linux"),
        "name": release.get("NAME", system.sysname),
        "pretty-name": release.get("PRETTY_NAME", system.sysname),
        "version": release.get("VERSION", ""),
        "version-id": release.get("VERSION_ID", ""),
        "kernel-release": system.release,
        "kernel-version": system.version,
        "machine": system.machine,
    }


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _host(path: str) -> str:
    """Where a guest's path is for this process; inside a sandbox it is what it says."""
    return path if not ROOT or path.startswith(ROOT + "/") else ROOT + "/" + path.lstrip("/")


def _receive(connection: socket.socket) -> Message:
    with connection.makefile("rb") as lines:
        message: Message = json.loads(lines.readline())
    return message


def _adopt_orphans() -> None:
    """Without a PID namespace, processes that lose their parent must still come back to this one."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(listener.fileno(), False)
    listener.setblocking(True)
    if ROOT:
        _adopt_orphans()
    Agent(listener, [_listen(*address) for address in json.loads(sys.argv[2])]).serve()


if __name__ == "__main__":
    main()
