"""Scenes that are served for the tests of a module, and a browser in each."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext
from pytest_django.plugin import DjangoDbBlocker

from tests import plugin_postgres
from tests.e2e.stack import database_copy
from tests.pages.browsing import context_of
from tests.scenes.serving import Scene, serving

Scenes = Callable[[str], Scene]
Contexts = Callable[[str, bool], BrowserContext]


@pytest.fixture(scope="module")
def scenes(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    worker_id: str,
) -> Iterator[Scenes]:
    """The scene of that name; built and served when it is first asked for."""
    with django_db_blocker.unblock(), plugin_postgres._server() as server:
        template = plugin_postgres._migrated_template(server)
    served: dict[str, Scene] = {}
    with ExitStack() as stack:

        def scene(name: str) -> Scene:
            if name not in served:
                home: Path = tmp_path_factory.mktemp(name)
                database = stack.enter_context(database_copy(template, f"scene_{name}_{worker_id}"))
                served[name] = stack.enter_context(serving(name, home, database))
            return served[name]

        yield scene


@pytest.fixture(scope="module")
def contexts(scenes: Scenes, chromium: Browser) -> Iterator[Contexts]:
    """The browser in which one looks at a scene, signed in or not."""
    opened: dict[tuple[str, bool], BrowserContext] = {}

    def context(name: str, signed_in: bool) -> BrowserContext:
        if (name, signed_in) not in opened:
            opened[name, signed_in] = context_of(chromium, scenes(name), signed_in=signed_in)
        return opened[name, signed_in]

    yield context
    for one in opened.values():
        one.close()
