"""What forms refuse, and what is not even offered. Who may open which page is in `tests.permissions`."""

import pytest
from django.test import Client

from machines.models import Machine
from tests.dashboard.conftest import Browser


class TestVerbs:
    @pytest.mark.parametrize("verb", ["checkpoint", "pause", "terminate"])
    def test_they_are_for_operators_only(self, verb: str, browser: Browser, machine: Machine) -> None:
        codes = [
            browser(who).post(f"/machines/{machine.handle}/{verb}/").status_code for who in ("bob", "charlie")
        ]

        machine.refresh_from_db()
        assert codes == [403, 404]
        assert machine.state == "running"

    def test_a_viewer_is_offered_none(self, browser: Browser, machine: Machine) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "Terminate" not in page
        assert "Branch" not in page
        assert "Roll back" not in page


class TestForms:
    def test_they_refuse_a_post_without_its_token(self, machine: Machine, people: dict) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(people["alice"])

        response = strict.post(f"/machines/{machine.handle}/pause/")

        assert response.status_code == 403
        assert "too old" in response.content.decode()
