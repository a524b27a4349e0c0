"""Refusals, servers that are away, and wrong usage: a sentence on stderr and an exit code that means something."""

import pytest

from tests.cli import recorded
from tests.cli.conftest import Cli
from tests.cli.recorded import LOST, Recorded


class TestRefusal:
    def test_the_api_s_sentence_is_all_that_is_said(self, server: Recorded, cli: Cli) -> None:
        server.refuse("GET machines/m99/", 404, "There is no machine 'm99' that you may see.")
        done = cli("machine", "show", "m99")
        assert done.returncode == 1
        assert done.stderr == "bin/autovibe: There is no machine 'm99' that you may see.\n"
        assert done.stdout == ""

    def test_an_error_of_the_server_names_the_request(self, server: Recorded, cli: Cli) -> None:
        server.refuse("GET machines/m12/", 500, "Something broke.")
        done = cli("machine", "show", "m12")
        assert done.returncode == 1
        assert "Something broke. (request req-1)" in done.stderr

    def test_a_bad_token_is_traced_to_where_it_came_from(self, server: Recorded, cli: Cli) -> None:
        server.refuse("GET projects/", 401, "This API token is unknown, expired or revoked.")
        assert "AUTOVIBE_TOKEN" in cli("projects").stderr

    def test_something_else_than_autovibe_is_recognised(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/", b"<h1>Welcome to nginx</h1>")
        server.answer("GET machine-types/", b"<h1>Not Found</h1>", status=404)
        assert "Is the address right?" in cli("projects").stderr
        assert "not as autovibe's API does" in cli("types").stderr

    def test_a_redirect_is_not_followed_with_the_token(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/", {}, status=301)
        done = cli("projects")
        assert done.returncode == 1
        assert "redirects to https://elsewhere.example/" in done.stderr


class TestUnreachable:
    def test_a_server_that_is_not_there_is_exit_4(self, server: Recorded, cli: Cli) -> None:
        server.stop()
        done = cli("machines")
        assert done.returncode == 4
        assert (
            f"{server.url} cannot be reached: Connection refused. Is it running? Start it with bin/dev"
            in done.stderr
        )

    def test_spawn_does_not_wait_for_a_server_that_was_never_there(self, server: Recorded, cli: Cli) -> None:
        server.stop()
        assert cli("spawn", "--project", "demo", "--type", "vibe", "Hello").returncode == 4

    def test_a_lost_answer_of_a_change_is_not_called_a_failure(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/m12/pause/", LOST)
        done = cli("pause", "m12")
        assert done.returncode == 4
        assert "may have been done or not: look before you ask again" in done.stderr
        assert len(server.requests("POST machines/m12/pause/")) == 1


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("spawn", "--project", "demo", "Hello"), "--type"),
            (
                ("spawn", "--project", "demo", "--type", "vibe", "--money", "lots", "Hello"),
                "write 10 or 2.50",
            ),
            (
                ("spawn", "--project", "demo", "--type", "vibe", "--wall", "soon", "Hello"),
                "90s, 30m, 1h30m or 2d",
            ),
            (("spawn", "--project", "demo", "--type", "vibe", "  "), "The prompt is empty"),
            (("budget", "set", "demo", "money", "-1"), "must not be negative"),
            (("budget", "set", "demo", "calls", "2.5"), "not a whole number"),
            (("checkpoints",), "Say whose"),
            (("machines", "--stat", "running"), "unrecognized arguments"),
        ],
    )
    def test_it_is_exit_2_before_anything_is_sent(
        self, server: Recorded, cli: Cli, arguments: tuple[str, ...], sentence: str
    ) -> None:
        done = cli(*arguments)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert server.asked == []

    def test_terminate_wants_a_yes_where_nobody_can_be_asked(self, server: Recorded, cli: Cli) -> None:
        done = cli("terminate", "m12")
        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert server.asked == []

    def test_a_bare_call_prints_help_with_examples(self, cli: Cli) -> None:
        done = cli()
        assert done.returncode == 0
        assert done.stdout.count("\n  bin/autovibe ") == 5

    def test_a_noun_alone_prints_its_help(self, cli: Cli) -> None:
        assert "take a checkpoint of a machine now" in cli("checkpoint").stdout


class TestProxies:
    def test_a_server_on_this_machine_is_not_asked_for_through_a_proxy(
        self, server: Recorded, env: dict[str, str]
    ) -> None:
        server.answer("GET projects/", {"results": []})
        through = {**env, "http_proxy": "http://127.0.0.1:9"}
        assert recorded.run(("projects",), env=through).returncode == 0
