"""The console's page, as the server sends it; what it does in a browser is in tests/e2e."""

from pathlib import Path
from typing import Any

import pytest

from dashboard.views.console import ASSETS
from machines.models import Machine
from tests.dashboard.conftest import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def static_files(tmp_path: Path, settings: Any) -> Path:
    """An empty directory of static files."""
    settings.STATICFILES_DIRS = [tmp_path]
    return tmp_path


def fetch_assets(static_files: Path) -> None:
    (static_files / "vendor" / "xterm").mkdir(parents=True)
    for name in ASSETS.values():
        (static_files / "vendor" / "xterm" / name).touch()


class TestItsParts:
    def test_without_them_it_says_how_to_get_them(
        self, browser: Browser, machine: Machine, static_files: Path
    ) -> None:
        page = browser("alice").get(f"/machines/{machine.handle}/console/").content.decode()

        assert "<code>bin/assets</code>" in page
        assert "console.js" not in page

    def test_with_them_it_names_them_to_its_script(
        self, browser: Browser, machine: Machine, static_files: Path
    ) -> None:
        fetch_assets(static_files)

        page = browser("alice").get(f"/machines/{machine.handle}/console/").content.decode()

        assert 'data-xterm="/static/vendor/xterm/xterm.mjs"' in page
        assert f'data-socket="/ws/machines/{machine.handle}/console/"' in page
        assert "bin/assets" not in page


class TestWithoutIt:
    def test_the_command_for_the_same_line_is_given(self, browser: Browser, machine: Machine) -> None:
        page = browser("alice").get(f"/machines/{machine.handle}/console/").content.decode()

        assert f"<code>qm terminal {machine.guest.vmid}</code>" in page


class TestTheWayToIt:
    def test_an_operator_finds_it_beside_the_verbs(self, browser: Browser, machine: Machine) -> None:
        page = browser("alice").get(f"/machines/{machine.handle}/").content.decode()

        assert f'href="/machines/{machine.handle}/console/"' in page

    def test_a_viewer_does_not(self, browser: Browser, machine: Machine) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "/console/" not in page
