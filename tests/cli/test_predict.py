"""`predict`, and the line about it that `spawn` prints."""

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded, machine

RANGES = {
    "cost_micros": {"low": 448_123, "middle": 510_000, "high": 583_456},
    "tokens": {"low": 5_100, "middle": 5_400, "high": 5_700},
    "calls": {"low": 2, "middle": 3, "high": 9},
    "seconds": {"low": 336, "middle": 569, "high": 839},
}
SAID = {
    "currency": "USD",
    "neighbours": 8,
    "ranges": RANGES,
    "suggested_micros": 600_000,
    "sentence": "",
    "calibration": {"n": 37, "inside": {"cost_micros": 30, "tokens": 31, "calls": 29, "seconds": 33}},
}
ASK = ("predict", "demo", "--type", "vibe")


class TestPredict:
    def test_it_shows_ranges_and_a_limit_to_copy(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/predict/", SAID)

        done = cli(*ASK, "Write tests")

        assert done.returncode == 0, done.stderr
        assert server.asked[0].body == {
            "project": "demo",
            "prompt": "Write tests",
            "type": "vibe",
            "model": "",
        }
        assert "cost    0.45 USD  0.51 USD     0.58 USD" in done.stdout
        assert "time    5m 36s    9m 29s       13m 59s" in done.stdout
        assert "Of 37 that were predicted in demo so far, the cost of 30 did." in done.stdout
        assert "--money 0.60" in done.stdout

    def test_it_says_when_there_is_not_enough_history(self, server: Recorded, cli: Cli) -> None:
        server.answer(
            "POST machines/predict/",
            {**SAID, "ranges": {}, "suggested_micros": None, "sentence": "Not enough history: …"},
        )

        assert cli(*ASK, "Write tests").stdout == "Not enough history: …\n"

    def test_the_prompt_can_come_from_standard_input(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/predict/", SAID)

        cli(*ASK, "-", stdin="Über\n")

        assert server.asked[0].body["prompt"] == "Über\n"


class TestSpawn:
    @pytest.mark.parametrize("ranges", [RANGES, {}])
    def test_it_tells_what_is_expected_where_something_is(
        self, ranges: dict, server: Recorded, cli: Cli
    ) -> None:
        prediction = {"neighbours": 8, "ranges": ranges, "suggested_micros": None, "used": None}
        server.answer("POST machines/", machine(state="requested", prediction=prediction), status=202)

        said = cli("spawn", "--project", "demo", "--type", "vibe", "Write tests").stderr

        line = "Expected: cost 0.45 to 0.58 USD, time 5m 36s to 13m 59s (from 8 past machines)."
        assert (line in said) == bool(ranges)
