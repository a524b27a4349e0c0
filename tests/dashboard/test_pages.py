"""What all pages share: the frame, the policy, the reference of the API, times in addresses, and pages that say no."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client

from dashboard import reference
from machines.models import Machine
from tests.dashboard.conftest import Browser

TEMPLATES = sorted(Path(settings.BASE_DIR, "templates").rglob("*.html"))


class TestThePolicy:
    def test_nothing_inline_may_run(self, browser: Browser, machine: Machine) -> None:
        policy = browser("alice").get("/")["Content-Security-Policy"]

        assert "default-src 'self'" in policy
        assert "unsafe" not in policy

    @pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
    def test_no_template_needs_it(self, template: Path) -> None:
        source = template.read_text()

        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|<script(?![^>]*\ssrc=)", source)


class TestSignIn:
    def test_it_leads_where_one_wanted_to_go(self, people: dict, machine: Machine) -> None:
        people["alice"].set_password("correct-horse-battery")
        people["alice"].save()
        asked = {
            "username": "alice",
            "password": "correct-horse-battery",
            "next": f"/machines/{machine.handle}/",
        }

        assert Client().post("/sign-in/", asked)["Location"] == f"/machines/{machine.handle}/"

    def test_a_wrong_password_is_said_and_the_name_kept(self, people: dict) -> None:
        page = Client().post("/sign-in/", {"username": "alice", "password": "wrong"}).content.decode()

        assert 'role="alert"' in page
        assert 'value="alice"' in page

    def test_signing_out_takes_a_post(self, browser: Browser) -> None:
        alice = browser("alice")

        assert alice.get("/sign-out/").status_code == 405
        assert alice.post("/sign-out/").status_code == 302
        assert alice.get("/").status_code == 302


class TestTheReference:
    def test_it_tells_every_route_once(self) -> None:
        routes = [route for tag in reference.read("").routes.values() for route in tag]

        assert {"machines_spawn", "checkpoints_branch", "machines_log"} <= {route.id for route in routes}
        assert len({route.id for route in routes}) == len(routes)

    def test_a_route_has_parameters_and_a_command(self) -> None:
        (spawn,) = [route for route in reference.read("").routes["machines"] if route.id == "machines_spawn"]

        assert {"Idempotency-Key", "project", "prompt"} <= {parameter.name for parameter in spawn.parameters}
        assert spawn.curl.startswith("curl -X POST -H 'Authorization: Bearer")
        assert '"project": "demo"' in spawn.curl

    def test_the_page_shows_this_servers_address(self, browser: Browser) -> None:
        page = browser("alice").get("/api/reference/machines/").content.decode()

        assert "http://testserver/api/v1/machines/" in page

    def test_every_tag_has_a_page_that_the_first_page_leads_to(self, browser: Browser) -> None:
        first = browser("alice").get("/api/").content.decode()

        for tag, routes in reference.read("http://testserver").routes.items():
            assert f'href="/api/reference/{tag}/#{routes[0].id}"' in first
            page = browser("alice").get(f"/api/reference/{tag}/").content.decode()
            assert all(f'id="{route.id}"' in page for route in routes)

    def test_what_is_inside_of_an_answer_is_told_with_the_way_to_it(self) -> None:
        (listed,) = [route for route in reference.read("").routes["machines"] if route.id == "machines_list"]

        assert "results[].handle" in {field.name for field in listed.answers[0].fields}
        assert "429" in {problem.status for problem in listed.problems}

    def test_a_tag_that_there_is_not(self, browser: Browser) -> None:
        assert browser("alice").get("/api/reference/nothing/").status_code == 404


class TestPagesThatSayNo:
    def test_a_machine_that_is_not_there_is_named(self, browser: Browser, project: object) -> None:
        response = browser("alice").get("/machines/m999/")

        assert response.status_code == 404
        assert "m999" in response.content.decode()

    def test_an_address_that_is_not_there(self, browser: Browser) -> None:
        response = browser("alice").get("/nowhere/")

        assert response.status_code == 404
        assert "No such page" in response.content.decode()

    @pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "500"])
    def test_they_need_nothing_to_be_shown(self, code: str) -> None:
        assert "To the fleet" in render_to_string(f"{code}.html")


class TestTimesInAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "/logs/?q=since:{time}",
            "/logs/?from={time}",
            "/logs/?before={time},5",
            "/operations/?before={time}",
            "/p/demo/audit/?q=since:{time}",
            "/machines/{handle}/?since={time}",
            "/machines/{handle}/?tab=timeline&before={time}",
        ],
    )
    def test_an_offset_beyond_those_of_the_database_is_understood(
        self, browser: Browser, machine: Machine, address: str
    ) -> None:
        asked = address.format(time=quote("2026-01-01T00:00+20:00"), handle=machine.handle)

        assert browser("alice").get(asked, follow=True).status_code == 200
