"""Without a key, the offline model answers: through the same holds, books and limits as a real one."""

import pytest
import requests
from pytest_django import Settings

from budgets import actions as budgets
from budgets import ledger
from budgets.models import LedgerEntry, Window
from gateway.models import Call
from machines.models import Machine
from projects.models import User
from tests.gateway.conftest import Call as Calling
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)


class TestOffline:
    @pytest.mark.parametrize("stream", [True, False])
    def test_it_answers_says_so_and_is_paid_for(self, call: Calling, stream: bool) -> None:
        answer = call(stream=stream)
        assert answer.status_code == 200
        assert answer.headers["x-autovibe-offline"] == "1"
        assert "autovibe-offline" in answer.text
        done = Call.objects.get()
        assert (done.state, done.offline, done.model) == ("done", True, "autovibe-offline")
        assert done.cost_micros == Window.objects.get().spent > 0
        assert LedgerEntry.objects.get(kind="usage").label == "autovibe-offline"
        assert not ledger.verify()

    def test_it_stops_when_the_money_does(self, call: Calling, machine: Machine, owner: User) -> None:
        budgets.set_limit(machine.project, "money", 10, by=owner)
        assert call().status_code == 402

    def test_an_agent_that_hangs_up_before_it_began_to_answer_pays_nothing(
        self, call: Calling, settings: Settings
    ) -> None:
        settings.OFFLINE_MODEL_LATENCY_SECONDS = 30
        with pytest.raises(requests.exceptions.ReadTimeout):
            call(timeout=0.5)
        gone = until(lambda: Call.objects.filter(state="released").first())
        assert (gone.cost_micros, gone.error) == (0, "The agent hung up before the answer was complete.")
        assert Window.objects.get().spent == 0
        assert not ledger.verify()

    @pytest.mark.parametrize(
        "schema",
        [True, {"enum": {}}, {"type": ["object"]}, {"type": "object", "properties": ["a"]}, {"enum": []}],
    )
    def test_it_answers_in_any_shape_that_json_can_ask_for(self, call: Calling, schema: object) -> None:
        shape = {"format": {"type": "json_schema", "schema": schema}}
        assert call(output_config=shape).status_code == 200

    def test_half_a_character_does_not_stop_it(self, call: Calling) -> None:
        """JavaScript cuts texts in the middle of a pair of surrogates."""
        tools = [{"name": "run"}, {"name": "write_file"}]
        said = [{"role": "user", "content": "Look at \ud83d"}]
        answer = call(messages=said, tools=tools)
        assert answer.status_code == 200

    def test_it_is_the_only_model(self, gateway: str, token: str) -> None:
        headers = {"x-api-key": token}
        listed = requests.get(f"{gateway}/v1/models", headers=headers, timeout=10).json()
        assert [model["id"] for model in listed["data"]] == ["autovibe-offline"]
        one = requests.get(f"{gateway}/v1/models/anything", headers=headers, timeout=10).json()
        assert one["id"] == "autovibe-offline"

    def test_it_estimates_tokens(self, gateway: str, token: str) -> None:
        answer = requests.post(
            f"{gateway}/v1/messages/count_tokens",
            data=b"x" * 400,
            headers={"x-api-key": token},
            timeout=10,
        )
        assert answer.json() == {"input_tokens": 101}
