"""`breaker`: what is sent, and what is shown."""

from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

OPEN: dict[str, Any] = {
    "state": "half_open", "enabled": True, "factor": 4.0, "since": "2031-05-06T07:08:09Z",
    "until": "2031-05-06T07:18:09Z", "probe": None, "sentence": "Project demo spent 9.00 EUR a minute.",
    "rate": 9_000_000, "normal": 1_500_000, "most": 6_000_000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def project(server: Recorded) -> None:
    server.answer("GET projects/demo/", {"slug": "demo", "currency": "EUR"})


def test_it_is_shown_with_its_figures(server: Recorded, cli: Cli) -> None:
    server.answer("GET projects/demo/breaker/", OPEN)

    shown = [" ".join(line.split()) for line in cli("breaker", "demo").stdout.splitlines()]

    assert shown[:2] == ["state half open", "why Project demo spent 9.00 EUR a minute."]
    assert shown[3:] == [
        "spends 9.00 EUR a minute",
        "normal 1.50 EUR a minute",
        "opens above 6.00 EUR a minute",
        "factor 4",
    ]


def test_one_without_history_says_so(server: Recorded, cli: Cli) -> None:
    quiet = {"state": "closed", "sentence": "", "until": None, "rate": 0, "normal": None, "most": None}
    server.answer("GET projects/demo/breaker/", OPEN | quiet)

    shown = cli("breaker", "demo").stdout

    assert "too little history to say" in shown
    assert "nothing" in shown


@pytest.mark.parametrize(
    ("typed", "sent"),
    [("--factor 6", {"factor": 6.0}), ("--off", {"enabled": False}), ("--on", {"enabled": True})],
)
def test_settings_are_sent_one_at_a_time(
    server: Recorded, cli: Cli, typed: str, sent: dict[str, Any]
) -> None:
    server.answer("PUT projects/demo/breaker/", OPEN)

    done = cli("breaker", "demo", *typed.split())

    assert done.returncode == 0, done.stderr
    assert server.asked[0].body == sent


def test_closing_it_is_a_post(server: Recorded, cli: Cli) -> None:
    server.answer("POST projects/demo/breaker/close/", OPEN | {"state": "closed"})

    assert "closed" in cli("breaker", "demo", "--close").stdout


def test_two_wishes_at_once_are_refused(server: Recorded, cli: Cli) -> None:
    assert cli("breaker", "demo", "--off", "--close").returncode == 2
    assert server.asked == []
