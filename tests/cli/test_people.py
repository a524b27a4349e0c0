"""Members, invitations and tokens: what is sent, and what is shown."""

from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

EVE = {"name": "eve", "role": "member", "rights": ["view_project", "spawn_machines"], "people": 1}
TOKEN: dict[str, Any] = {
    "id": 12,
    "name": "ci",
    "prefix": "av_abcde",
    "user": "alice",
    "scopes": ["spawn_machines", "view_project"],
    "project": "demo",
    "state": "alive",
    "created_at": "2031-01-02T03:04:05Z",
    "expires_at": "2031-04-02T03:04:05Z",
    "revoked_at": None,
    "last_used_at": None,
    "last_used_ip": None,
}
INVITATION = {
    "id": "0190",
    "role": "viewer",
    "email": "",
    "note": "Eve of sales",
    "invited_by": "alice",
    "created_at": "2031-01-02T03:04:05Z",
    "expires_at": "2031-01-09T03:04:05Z",
}
MEMBER = "projects/demo/members/eve/"


class TestMembers:
    def test_they_are_listed_with_their_roles(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/members/", {"results": [EVE], "machine_role": "viewer"})
        done = cli("members", "demo")
        assert "eve   member" in done.stdout
        assert "Its machines are viewers." in done.stderr

    @pytest.mark.parametrize(
        ("typed", "role"),
        [
            (("add", "demo", "eve"), "member"),
            (("add", "demo", "eve", "--role", "owner"), "owner"),
            (("role", "demo", "eve", "viewer"), "viewer"),
        ],
    )
    def test_a_role_is_given(self, server: Recorded, cli: Cli, typed: tuple[str, ...], role: str) -> None:
        server.answer(f"PUT {MEMBER}", {**EVE, "role": role})
        done = cli("member", *typed)
        assert done.stdout == f"eve is {role} of demo.\n"
        assert server.asked[0].body == {"role": role}

    def test_nobody_is_removed_unasked(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"DELETE {MEMBER}", None, status=204)
        assert cli("member", "remove", "demo", "eve").returncode == 2
        assert not server.asked
        assert cli("member", "remove", "demo", "eve", "--yes").returncode == 0
        assert len(server.requests(f"DELETE {MEMBER}")) == 1

    def test_what_machines_may_be_is_shown_and_set(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/", {"slug": "demo", "machine_role": ""})
        server.answer("PUT projects/demo/machine-role/", {"slug": "demo", "machine_role": ""})
        assert cli("member", "machines", "demo").stdout == "Machines of demo: nothing\n"
        cli("member", "machines", "demo", "nothing")
        assert server.requests("PUT projects/demo/machine-role/")[0].body == {"role": ""}


class TestInvitations:
    def test_the_link_is_all_that_is_printed(self, server: Recorded, cli: Cli) -> None:
        link = "https://autovibe.example.com/invitation/abc/"
        server.answer(
            "POST projects/demo/invitations/", {**INVITATION, "link": link, "emailed": False}, status=201
        )
        done = cli("invite", "demo", "--role", "viewer", "--note", "Eve of sales")
        assert done.stdout == f"{link}\n"
        assert server.asked[0].body == {"role": "viewer", "note": "Eve of sales"}

    def test_they_are_listed_and_taken_back(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/invitations/", {"results": [INVITATION]})
        server.answer("DELETE projects/demo/invitations/0190/", None, status=204)
        assert "Eve of sales" in cli("invitation", "list", "demo").stdout
        assert cli("invitation", "revoke", "demo", "0190").returncode == 0


class TestTokens:
    def test_the_key_is_all_that_is_printed(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST tokens/", {**TOKEN, "key": "av_secret"}, status=201)
        done = cli("token", "create", "ci", "--scope", "spawn", "--scope", "view", "--project", "demo")
        assert done.stdout == "av_secret\n"
        assert server.asked[0].body == {
            "name": "ci",
            "scopes": ["spawn_machines", "view_project"],
            "project": "demo",
            "days": None,
        }

    def test_they_are_listed(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET tokens/", {"results": [TOKEN], "next": None})
        shown = cli("token", "list", "--dead").stdout
        assert "av_abcde…" in shown
        assert "spawn,view" in shown
        assert "2031-04-02" in shown
        assert "ago" not in shown
        assert server.asked[0].query["dead"] == "true"

    def test_one_is_renewed_and_ended(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST tokens/12/rotate/", {**TOKEN, "id": 13, "key": "av_new"}, status=201)
        server.answer("DELETE tokens/13/", None, status=204)
        assert cli("token", "rotate", "12", "--grace", "5").stdout == "av_new\n"
        assert server.asked[0].body == {"grace_minutes": 5}
        assert cli("token", "revoke", "13").returncode == 0

    def test_a_scope_that_is_none_is_refused_here(self, server: Recorded, cli: Cli) -> None:
        done = cli("token", "create", "ci", "--scope", "fly")
        assert done.returncode == 2
        assert "operate" in done.stderr
