"""`autovibe upstream`: list, add, try and remove the servers that answer model calls."""

import json
from typing import Any

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

KEY = {
    "name": "team",
    "weight": 100,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "enabled": True,
    "state": "refused",
    "refused_at": "2031-05-06T07:08:09Z",
    "last_error": "The model provider refuses the gateway's key.",
}
UPSTREAM = {
    "name": "anthropic",
    "base_url": "https://api.anthropic.com",
    "dialects": ["messages"],
    "models": ["claude-*"],
    "priority": 10,
    "weight": 100,
    "free": False,
    "enabled": True,
    "in_environment": False,
    "keys": [KEY],
}
REPORT: dict[str, Any] = {
    "key": "team",
    "answered": True,
    "sentence": "claude-haiku-4-5 answered in 512 ms.",
    "status": 200,
    "model": "claude-haiku-4-5",
    "models": 3,
    "input_tokens": 8,
    "output_tokens": 1,
    "cost_micros": 13,
    "milliseconds": 512,
}


class TestList:
    def test_keys_are_shown_by_name_and_state(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET upstreams/", {"results": [UPSTREAM]})
        done = cli("upstream", "list")
        assert "anthropic  10        100     messages  claude-*  team: refused" in done.stdout
        assert "anthropic team: The model provider refuses the gateway's key." in done.stderr

    def test_none_is_no_trouble(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET upstreams/", {"results": []})
        assert "the offline model answers" in cli("upstream", "list").stderr


class TestAdd:
    def test_the_key_is_read_from_standard_input_and_sent_once(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST upstreams/", {**UPSTREAM, "keys": []}, status=201)
        server.answer("PUT upstreams/anthropic/keys/team/", UPSTREAM)
        command = ("upstream", "add", "anthropic", "https://api.anthropic.com", "--dialect", "messages")
        done = cli(*command, "--model", "claude-*", "--key", "team", stdin="sk-secret\n")
        assert (done.returncode, done.stdout) == (0, "Upstream anthropic is there.\n")
        assert server.requests("POST upstreams/")[0].body == {
            "name": "anthropic",
            "base_url": "https://api.anthropic.com",
            "dialects": ["messages"],
            "models": ["claude-*"],
        }
        assert server.requests("PUT upstreams/anthropic/keys/team/")[0].body == {"secret": "sk-secret"}
        assert "sk-secret" not in done.stdout + done.stderr

    def test_a_free_one_needs_no_key(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST upstreams/", {**UPSTREAM, "name": "gpu", "keys": []}, status=201)
        assert (
            cli("upstream", "add", "gpu", "http://gpu:11434", "--dialect", "chat", "--free").returncode == 0
        )
        assert server.requests("POST upstreams/")[0].body["free"] is True

    def test_another_one_does(self, server: Recorded, cli: Cli) -> None:
        done = cli("upstream", "add", "x", "http://x", "--dialect", "chat")
        assert done.returncode == 2
        assert "--key is missing" in done.stderr
        assert not server.asked


class TestKey:
    def test_limits_are_set_without_the_secret(self, server: Recorded, cli: Cli) -> None:
        server.answer("PUT upstreams/anthropic/keys/team/", UPSTREAM)
        assert (
            cli("upstream", "key", "anthropic", "team", "--keep", "--requests-per-minute", "50").returncode
            == 0
        )
        assert server.asked[0].body == {"requests_per_minute": 50}


class TestTest:
    def test_it_says_what_the_call_cost(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST upstreams/anthropic/test/", {"results": [REPORT]})
        done = cli("upstream", "test", "anthropic")
        assert done.returncode == 0
        assert "team: claude-haiku-4-5 answered in 512 ms." in done.stdout
        assert "8 tokens read, 1 written; it cost 0.000013 USD, on no budget" in done.stdout

    def test_a_key_that_does_not_work_is_an_exit_code(self, server: Recorded, cli: Cli) -> None:
        failed = {
            **REPORT,
            "answered": False,
            "sentence": "claude-haiku-4-5: HTTP 401. no",
            "cost_micros": None,
        }
        server.answer("POST upstreams/anthropic/test/", {"results": [REPORT, failed]})
        assert cli("upstream", "test", "anthropic").returncode == 1

    def test_as_json_it_is_the_apis(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST upstreams/anthropic/test/", {"results": [REPORT]})
        assert json.loads(cli("upstream", "test", "anthropic", "--json").stdout) == {"results": [REPORT]}


class TestRemove:
    def test_one_key_or_all_of_it(self, server: Recorded, cli: Cli) -> None:
        server.answer("DELETE upstreams/anthropic/keys/team/", None, status=204)
        server.answer("DELETE upstreams/anthropic/", None, status=204)
        assert cli("upstream", "remove", "anthropic", "--key", "team").returncode == 0
        assert cli("upstream", "remove", "anthropic").returncode == 0
        assert [asked.path for asked in server.asked] == [
            "upstreams/anthropic/keys/team/",
            "upstreams/anthropic/",
        ]
