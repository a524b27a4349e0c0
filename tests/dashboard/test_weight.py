"""What a browser fetches to show a page for the first time, but for the library of the live charts."""

import gzip
import re

import pytest
from django.contrib.staticfiles import finders

from autovibe.bundles import joined
from machines.models import Machine
from tests.dashboard.conftest import Browser
from tests.e2e.test_browser import needs_assets

REQUESTS_MAX = 8
KIB_MAX = 60
PATHS = (
    "/", "/machines/{handle}/", "/p/{slug}/", "/p/{slug}/checkpoints/", "/budgets/", "/needs-you/",
    "/machines/new/", "/settings/appearance/", "/account/",
)  # fmt: skip
FETCHED = re.compile(
    r'(?:<link rel="(?:stylesheet|icon)"[^>]*? href|<script src|<use href)="/static/([^"#]+)'
)


def fetched(page: str) -> set[str]:
    """The files that the page is shown with."""
    return {name for name in FETCHED.findall(page) if not name.startswith("vendor/uplot/")}


def weight(name: str) -> float:
    """In KiB, collected and compressed."""
    content = joined(name, _read) or _read(name)
    return len(gzip.compress(content.encode())) / 1024


def _read(name: str) -> str:
    found = finders.find(name)
    assert found, name
    with open(found) as file:
        return file.read()


@pytest.mark.parametrize("path", PATHS)
class TestTheFirstLook:
    def test_it_takes_few_requests(self, path: str, browser: Browser, machine: Machine) -> None:
        page = _page(path, browser, machine)

        assert 1 + len(fetched(page)) <= REQUESTS_MAX, fetched(page)

    @needs_assets
    def test_it_weighs_little(self, path: str, browser: Browser, machine: Machine) -> None:
        page = _page(path, browser, machine)
        parts = {name: weight(name) for name in fetched(page)}

        assert len(gzip.compress(page.encode())) / 1024 + sum(parts.values()) <= KIB_MAX, parts


def _page(path: str, browser: Browser, machine: Machine) -> str:
    address = path.format(handle=machine.handle, slug=machine.project.slug)
    answer = browser("alice").get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()
