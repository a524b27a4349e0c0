"""Predictions over REST: before a machine is spawned, on the machine, and whether they were right."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from checkpoints.models import Checkpoint
from machines.forecast import predict
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from tests.dashboard import rows

Api = Callable[[str], APIClient]
ASKED = {"project": "demo", "type": "vibe", "prompt": "Write tests"}


@pytest.fixture
def past(project: Project, genesis: Checkpoint) -> None:
    rows.budget(project)
    for _ in range(6):
        ended(project, genesis)


def ended(project: Project, genesis: Checkpoint) -> Machine:
    now = timezone.now()
    machine = rows.machine(
        project, genesis, State.TERMINATED, prompt="Write tests",
        run_started_at=now - timedelta(minutes=6), ended_at=now - timedelta(minutes=2),
    )  # fmt: skip
    rows.call(machine, cost_micros=480_000)
    predict.record_truth(machine)
    return machine


class TestPredict:
    def test_it_answers_with_ranges_and_a_limit(self, api: Api, past: None) -> None:
        answer = api("alice").post("/api/v1/machines/predict/", ASKED, format="json").json()

        assert answer["neighbours"] == 6
        assert answer["ranges"]["cost_micros"]["middle"] == 480_000
        assert answer["ranges"]["seconds"]["middle"] == 240
        assert answer["suggested_micros"] == 600_000
        assert (answer["currency"], answer["sentence"], answer["calibration"]["n"]) == ("USD", "", 0)

    def test_without_history_it_says_so(self, api: Api, project: Project) -> None:
        answer = api("bob").post("/api/v1/machines/predict/", ASKED, format="json").json()

        assert (answer["ranges"], answer["suggested_micros"]) == ({}, None)
        assert "Not enough history" in answer["sentence"]

    def test_of_a_project_that_one_may_not_see_it_says_nothing(self, api: Api, past: None) -> None:
        assert api("charlie").post("/api/v1/machines/predict/", ASKED, format="json").status_code == 404

    def test_a_spawned_machine_shows_what_was_expected_of_it(
        self, api: Api, past: None, genesis: Checkpoint
    ) -> None:
        alice = api("alice")

        spawned = alice.post("/api/v1/machines/", ASKED, format="json").json()
        shown = alice.get(f"/api/v1/machines/{spawned['handle']}/").json()

        assert spawned["prediction"]["ranges"]["cost_micros"]["middle"] == 480_000
        assert shown["prediction"] == spawned["prediction"]
        assert shown["prediction"]["used"] is None

    def test_of_machines_from_before_predictions_there_is_none(
        self, api: Api, project: Project, genesis: Checkpoint
    ) -> None:
        machine = ended(project, genesis)

        assert api("alice").get(f"/api/v1/machines/{machine.handle}/").json()["prediction"] is None


class TestCalibration:
    def test_it_counts_machines_and_periods(
        self, api: Api, past: None, project: Project, alice: User
    ) -> None:
        machine = Machine.objects.latest("number")
        machine.prediction.delete()
        expected = predict.predict(project=project, user=alice, type_name="vibe", prompt="Write tests")
        predict.remember(machine, expected)
        predict.record_truth(machine)

        answer = api("bob").get("/api/v1/projects/demo/calibration/").json()

        assert answer["machines"]["n"] == 1
        assert answer["machines"]["inside"]["cost_micros"] == 1
        assert answer["budgets"] == {"n": 0, "inside": 0}
