"""Retention over REST: who may see, set and prune, and what they are told."""

import pytest

from checkpoints.keeping import pruning
from machines.models import Machine
from tests.checkpoints.kept import LAST, gone, take


class TestOverRest:
    URL = "/api/v1/projects/demo/retention/"

    @pytest.mark.parametrize(
        ("who", "sees", "sets", "prunes"),
        [("alice", 200, 200, 202), ("bob", 200, 403, 403), ("charlie", 404, 404, 404)],
    )
    def test_who_may(self, api, machine: Machine, who: str, sees: int, sets: int, prunes: int) -> None:
        client = api(who)

        answers = [client.get(self.URL), client.put(self.URL, {}), client.post(self.URL, {})]

        assert [one.status_code for one in answers] == [sees, sets, prunes]

    def test_a_preview_may_try_other_rules(self, api, machine: Machine) -> None:
        for _ in range(4):
            take(machine)

        usual, tried = (
            api("bob").get(self.URL, asked).json() for asked in ({}, {"keep_last": 3, "milestones": "90"})
        )

        assert (usual["goes"], tried["goes"]) == (3, 1)
        assert tried["rules"] == LAST | {"keep_last": 3, "milestones": 90}
        assert usual["checkpoints"][0] == {
            "handle": f"{machine.handle}.c1", "stays": False, "reason": "no rule keeps it", "stored_bytes": 0,
            "backup_bytes": 0,
        }  # fmt: skip

    def test_rules_are_set_and_what_is_not_said_is_as_in_the_settings(self, api, machine: Machine) -> None:
        found = api("alice").put(self.URL, {"keep_last": 2, "milestones": False}).json()

        assert (found["rules"]["keep_last"], found["rules"]["daily"], found["rules"]["milestones"]) == (
            2,
            14,
            False,
        )
        assert pruning.rules_of(machine.project).keep_last == 2

    def test_nonsense_is_refused(self, api, machine: Machine) -> None:
        refused = api("alice").put(self.URL, {"daily": -1})

        assert refused.status_code == 400
        assert "daily is a whole number from 0" in refused.json()["detail"]

    def test_a_dry_run_says_what_would_go_and_nothing_goes(self, api, machine: Machine) -> None:
        take(machine)
        take(machine)

        dry = api("alice").post(self.URL, {"dry_run": True})
        assert (dry.status_code, dry.json()["goes"], gone(machine)) == (200, 1, set())

        done = api("alice").post(self.URL)
        assert (done.status_code, done.json()["goes"], gone(machine)) == (202, 1, {1})
