"""One stack for the tests of a module, each on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import plugin_postgres
from tests.e2e.stack import Stack, database_copy, running


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker,
) -> Iterator[Stack]:
    """The whole of autovibe, with the test module's SETTINGS and its NODE's options."""
    home: Path = tmp_path_factory.mktemp("stack")
    with django_db_blocker.unblock(), plugin_postgres._server() as server:
        template = plugin_postgres._migrated_template(server)
    settings, node = getattr(request.module, "SETTINGS", {}), getattr(request.module, "NODE", ())
    name = f"e2e_{request.module.__name__.rpartition('.')[2]}"
    with database_copy(template, name) as database, running(home, database, node=node, **settings) as started:
        yield started
