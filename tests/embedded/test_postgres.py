"""The private PostgreSQL server: its first start, and what it survives."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from autovibe.embedded.account import Account
from autovibe.embedded.postgres import DATABASE, USER, Postgres, PostgresError
from tests.waiting import settled

START_AND_BE_KILLED = """
import os, signal, sys
from pathlib import Path
from autovibe.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]), fsync=False)
server.start()
print((server.data / "postmaster.pid").read_text().split()[0], flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cluster for all tests of this module: making one takes longer than all of them."""
    directory = tmp_path_factory.mktemp("postgres") / "home"
    server = Postgres(directory, fsync=False)
    server.start()
    server.stop()
    return directory


@pytest.fixture
def server(home: Path) -> Iterator[Postgres]:
    running = Postgres(home, fsync=False)
    running.start()
    yield running
    running.stop()


def postmaster(server: Postgres) -> psutil.Process:
    return psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))


class TestAccess:
    def test_the_address_it_gives_opens_the_database(self, server: Postgres) -> None:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == (
                USER,
                DATABASE,
            )

    def test_nobody_gets_in_without_the_password(self, server: Postgres) -> None:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url.replace(server.password, "guess"))

    def test_only_its_owner_can_read_the_password(self, server: Postgres) -> None:
        assert stat.S_IMODE((server.home / "password").stat().st_mode) == 0o600

    def test_it_knows_the_case_of_letters_outside_ascii(self, server: Postgres) -> None:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT upper('é')").fetchone() == ("É",)


class TestStarting:
    def test_what_was_written_is_there_after_a_restart(self, server: Postgres) -> None:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.stop()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    def test_it_keeps_its_port_from_start_to_start(self, server: Postgres) -> None:
        before = server.port
        server.stop()
        server.start()
        assert server.port == before

    def test_it_takes_another_port_when_its_own_is_taken(self, server: Postgres) -> None:
        server.stop()
        with socket.create_server(("127.0.0.1", server.port)):
            server.start()
            assert server.answers()

    def test_an_interrupted_initdb_leaves_nothing_that_hinders_the_next(self, tmp_path: Path) -> None:
        half = tmp_path / "home" / "data.partial"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("16\n")
        server = Postgres(tmp_path / "home", fsync=False)
        server.prepare()
        assert (server.data / "global").is_dir()

    def test_a_second_server_on_the_same_cluster_is_refused_with_advice(
        self, server: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("autovibe.embedded.postgres._PREDECESSOR_SECONDS", 0.2)
        with pytest.raises(PostgresError, match="kill -INT"):
            Postgres(server.home, fsync=False).start()


class TestSurviving:
    def test_a_killed_postmaster_is_started_again_with_everything_committed(self, home: Path) -> None:
        server = Postgres(home)  # as in earnest: with fsync
        server.start()
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE committed AS SELECT 1 AS one")
        postmaster(server).kill()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM committed").fetchone() == (1,)
        server.stop()

    def test_a_dead_server_that_nobody_reaps_is_named(
        self, server: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("autovibe.embedded.postgres._PREDECESSOR_SECONDS", 0.2)
        postmaster(server).kill()  # and stays a zombie: its parent, this test, does not wait for it
        with pytest.raises(PostgresError, match="does not reap"):
            Postgres(server.home, fsync=False).start()

    def test_a_lock_file_with_a_recycled_pid_is_not_believed(self, server: Postgres) -> None:
        server.stop()
        lines = [str(os.getpid()), str(server.data), "1000000000", str(server.port), "", "127.0.0.1"]
        (server.data / "postmaster.pid").write_text("\n".join(lines))
        server.start()
        assert server.answers()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
    def test_it_ends_when_its_parent_is_killed(self, home: Path) -> None:
        argv = [sys.executable, "-c", START_AND_BE_KILLED, str(home)]
        parent = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert settled(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand over to another account")
class TestAsRoot:
    def test_without_user_namespaces_it_runs_as_another_user(self, tmp_path: Path) -> None:
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o711)
        server = Postgres(tmp_path / "home", fsync=False, account=Account(uid=65534, gid=65534))
        server.start()
        try:
            assert postmaster(server).uids().real == 65534
            assert server.answers()
        finally:
            server.stop()
