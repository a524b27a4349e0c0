"""What every request gets, whatever it asks for: an id, and a refusal where no part of us could read it."""

from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.test import APIClient

from projects.models import User

API = [
    "/api/v1/checkpoints/%00/",
    "/api/v1/checkpoints/?project=%00",
    "/api/v1/machines/?project=%00",
    "/api/v1/machines/?state=running,%00",
    "/api/v1/machines/?type=%00",
    "/api/v1/checkpoints/?machine=%00",
    "/api/v1/nothing/%00",
]
PAGES = ["/%00", "/machines/%00/", "/?project=%00", "/checkpoints/%00/", "/sign-in/?next=%00", "/healthz?%00"]

FORMS = {
    "/needs-you/snooze/": {"item": "request:\x00", "for": "hour"},
    "/needs-you/snooze/undo/": {"item": "machine:\x00"},
    "/settings/appearance/": {"zone": "a\x00", "density": "compact"},
    "/sign-in/": {"login": "a\x00", "password": "b"},
}


class TestNul:
    @pytest.mark.parametrize("address", API)
    def test_an_address_of_the_api_with_one_is_a_problem(
        self, api: Callable[[str], APIClient], address: str
    ) -> None:
        response = api("alice").get(address)
        assert response.status_code == 400
        assert response["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert (problem["type"], problem["detail"]) == (
            "urn:autovibe:invalid",
            "The address holds a NUL character.",
        )
        assert problem["request_id"] == response["X-Request-Id"]

    @pytest.mark.parametrize("address", PAGES)
    def test_an_address_of_a_page_with_one_is_a_plain_400(self, db: None, address: str) -> None:
        response = Client().get(address)
        assert response.status_code == 400
        assert response["Content-Type"].startswith("text/html")
        assert response["X-Request-Id"]

    def test_a_cookie_with_one_is_a_plain_400(self, db: None) -> None:
        """Quoted in octal, as cookies are."""
        response = Client(HTTP_COOKIE='sessionid="\\000"').get("/")
        assert response.status_code == 400

    def test_a_form_with_one_is_a_plain_400(self, people: dict[str, User]) -> None:
        alice = Client()
        alice.force_login(people["alice"])
        for address, asked in FORMS.items():
            response = alice.post(address, asked)
            assert response.status_code == 400
            assert response["Content-Type"].startswith("text/html")

    def test_one_that_was_encoded_twice_is_only_text(self, api: Callable[[str], APIClient]) -> None:
        assert api("alice").get("/api/v1/checkpoints/%2500/").status_code == 404
        assert api("alice").get("/api/v1/machines/?project=%2500").status_code == 200
