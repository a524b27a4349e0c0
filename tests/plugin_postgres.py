"""The PostgreSQL that the tests run on: a throw-away server, and one cloned database per xdist worker.

Loaded with `-p`, because DATABASE_URL has to stand before pytest-django reads the settings. With DATABASE_URL
set, that server is used instead (its user must be allowed to create databases).
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from autovibe.embedded.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "var" / "test-postgres"  # a stopped cluster that already holds a migrated template
_TEMPLATES = "SELECT datname FROM pg_database WHERE datname LIKE 'migrated_%'"
_MIGRATING = 7_201_116  # advisory lock: one worker migrates, the others wait and clone


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        os.environ.pop(name, None)  # a test must never be able to spend money
    os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 40)
    heads = Path(tempfile.mkdtemp(prefix="autovibe-test-heads-"))
    early_config.add_cleanup(lambda: shutil.rmtree(heads, ignore_errors=True))
    os.environ["AUDIT_HEADS"] = str(heads / "heads.jsonl")
    if "DATABASE_URL" not in os.environ:
        _start_server(early_config)
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # Of two fixtures with one name the later registered plugin's wins; pytest-django has registered its own.
    config.pluginmanager.register(_Databases(), "autovibe-databases")


class _Databases:
    @pytest.fixture(scope="session")
    def django_db_setup(
        self, request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: Any
    ) -> Iterator[None]:
        """Point Django at a fresh copy of the migrated template; subprocesses see it in DATABASE_URL."""
        from django.db import connection

        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        before, url = connection.settings_dict["NAME"], os.environ["DATABASE_URL"]
        name = f"test_{before}_{worker}"
        with django_db_blocker.unblock():
            with _server() as server:
                template = _migrated_template(server)
                _drop(server, name)
                _create(server, name, template=template)
            _point_django_at(name)
        yield
        with django_db_blocker.unblock():
            _point_django_at(before)
        os.environ["DATABASE_URL"] = url
        with _server() as server:
            _drop(server, name)


# The server


def _start_server(config: pytest.Config) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="autovibe-test-"))
    scratch.chmod(0o711)  # where root hands over to another account, that one must get through
    config.add_cleanup(lambda: shutil.rmtree(scratch, ignore_errors=True))
    home = scratch / "postgres"
    with _cache_locked():
        if CACHE.exists():
            shutil.copytree(CACHE, home, ignore=shutil.ignore_patterns("port"))
    server = Postgres(home, fsync=False)
    server.start()
    os.environ["DATABASE_URL"] = server.url
    config.add_cleanup(lambda: _stop_server(server))


def _stop_server(server: Postgres) -> None:
    """Stop it, and keep the cluster for the next session if this one had to migrate."""
    try:
        with _server() as connection:
            fresh = _exists(connection, _template_name()) and not (server.home / _template_name()).exists()
    except psycopg.OperationalError:  # a test may have gone far
        fresh = False
    del os.environ["DATABASE_URL"]
    server.stop()
    if fresh:
        (server.home / _template_name()).touch()
        with _cache_locked():
            shutil.rmtree(CACHE, ignore_errors=True)
            shutil.move(server.home, CACHE)


@contextmanager
def _cache_locked() -> Iterator[None]:
    CACHE.parent.mkdir(exist_ok=True)
    with CACHE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# Databases on it


def _migrated_template(server: psycopg.Connection[Any]) -> str:
    """The name of a database with all migrations applied; made when it is not there."""
    from django.core.management import call_command

    name, partial = _template_name(), f"{_template_name()}_partial"
    server.execute("SELECT pg_advisory_lock(%s)", [_MIGRATING])
    if not _exists(server, name):
        for (old,) in server.execute(_TEMPLATES).fetchall():
            _drop(server, old)
        _create(server, partial, template="template1")
        _point_django_at(partial)
        call_command("migrate", verbosity=0, interactive=False, run_syncdb=True)
        call_command("createcachetable", verbosity=0)
        _let_be_emptied()
        _point_django_at(partial)  # closes the connection: a template must not be in use
        server.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(partial), sql.Identifier(name))
        )
    server.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATING])
    return name


def _let_be_emptied() -> None:
    """Emptying tables between tests takes a privilege that nobody has on events."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("GRANT TRUNCATE ON events_event, events_link, events_head TO CURRENT_USER")


def _template_name() -> str:
    """Names the schema: changes whenever a model, a migration, a setting or a pinned package does."""
    digest = hashlib.sha256(os.environ.get("DJANGO_SETTINGS_MODULE", "").encode())
    named = ("settings.py", "models.py", "apps.py", "constraints.txt")
    sources = [path for name in named for path in (*ROOT.glob(name), *ROOT.glob(f"[a-z]*/{name}"))]
    for pattern in ("migrations/*.py", "models/*.py", "sql/*.sql"):
        sources += ROOT.glob(f"[a-z]*/{pattern}")
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return f"migrated_{digest.hexdigest()[:16]}"


def _point_django_at(name: str) -> None:
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = name
    os.environ["DATABASE_URL"] = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@contextmanager
def _server() -> Iterator[psycopg.Connection[Any]]:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres").geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def _exists(server: psycopg.Connection[Any], name: str) -> bool:
    return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _create(server: psycopg.Connection[Any], name: str, *, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    server.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    # Tests with real transactions are cleaned up by TRUNCATE, which the ledger refuses otherwise.
    server.execute(sql.SQL("ALTER DATABASE {} SET autovibe.flush = 'on'").format(sql.Identifier(name)))


def _drop(server: psycopg.Connection[Any], name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
