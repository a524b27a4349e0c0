"""Having a checkpoint taken, and saying when they are, from the pages of machines."""

import pytest

from checkpoints.models import Checkpoint
from machines.models import Machine
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

NONE = {"calls": 0, "minutes": 0, "percent": 0, "before": [], "after_files": False}


class TestCheckpointNow:
    def test_the_question_tells_what_memory_would_take(
        self, browser: Browser, machine: Machine, settings
    ) -> None:
        settings.PROXMOX_URL = "https://pve.example.org:8006"

        page = browser("alice").get(f"/machines/{machine.handle}/checkpoint/").content.decode()

        assert 'name="ram"' in page
        assert "Only this machine can return to the memory" in page

    def test_where_there_can_be_none_it_says_why(self, browser: Browser, machine: Machine, settings) -> None:
        settings.PROXMOX_URL = "http://127.0.0.1:8006"

        page = browser("alice").get(f"/machines/{machine.handle}/checkpoint/").content.decode()

        assert 'name="ram"' not in page
        assert "memory cannot be saved" in page

    @pytest.mark.parametrize("ram", [True, False])
    def test_it_is_taken_as_it_was_asked_for(
        self, ram: bool, browser: Browser, machine: Machine, settings
    ) -> None:
        settings.PROXMOX_URL = "https://pve.example.org:8006"

        browser("alice").post(
            f"/machines/{machine.handle}/checkpoint/",
            {"why": " Before lunch ", **({"ram": "1"} if ram else {})},
        )

        taken = Checkpoint.objects.of(machine.subject).last()
        assert taken
        assert (taken.why, taken.ram) == ("Before lunch", ram)


class TestBranching:
    def test_without_a_prompt_it_goes_on_with_the_conversation(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        where = f"/checkpoints/{checkpoint.handle}/branch/"
        form = browser("alice").get(where)
        op = form.context["form"].initial["op"]

        answer = browser("alice").post(where, {"op": op, "type": "vibe", "prompt": ""})

        page = form.content.decode()
        prompt = page[page.index("<textarea") : page.index("</textarea>")]
        assert "required" not in prompt
        assert "just goes on with the conversation" in page
        assert answer.status_code == 302
        assert Machine.objects.get(source=checkpoint).continues

    def test_where_there_is_no_conversation_a_prompt_is_asked_for(
        self, browser: Browser, genesis: Checkpoint, machine: Machine
    ) -> None:
        page = browser("alice").get(f"/checkpoints/{genesis.handle}/branch/").content.decode()

        assert "required" in page[page.index("<textarea") : page.index("</textarea>")]

    @pytest.mark.parametrize(("chosen", "departures"), [("", {}), ("call", {"calls": 1}), ("none", NONE)])
    def test_its_checkpoints_are_taken_as_was_chosen(
        self, chosen: str, departures: dict, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        where = f"/checkpoints/{checkpoint.handle}/branch/"
        op = browser("alice").get(where).context["form"].initial["op"]

        browser("alice").post(where, {"op": op, "type": "vibe", "prompt": "Go on", "keeping": chosen})

        assert Machine.objects.get(source=checkpoint).checkpoints == departures


class TestTheLine:
    def test_pruned_and_proven_ones_look_different(self, browser: Browser, machine: Machine) -> None:
        first = Checkpoint.objects.of(machine.subject)[0]
        Checkpoint.objects.filter(pk=first.pk).update(
            state="pruned", manifest=None, pinned=True, name="Green tests"
        )

        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "only its record is kept" in page
        assert "Green tests" in page
        assert "Pruned" in page
        assert "pinned" in page

    def test_many_that_share_a_state_take_no_more_queries(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint, django_assert_max_num_queries
    ) -> None:
        client = browser("bob")
        client.get(f"/machines/{machine.handle}/")
        for _ in range(20):
            rows.checkpoint(machine, shares=checkpoint)
        with django_assert_max_num_queries(40):
            client.get(f"/machines/{machine.handle}/")


class TestCallsUntilThen:
    @pytest.mark.parametrize(("trigger", "shown"), [("call", 1), ("risk", 2)])
    def test_the_call_it_was_taken_for_counts_once_it_has_asked_for_a_tool(
        self, trigger: str, shown: int, browser: Browser, machine: Machine
    ) -> None:
        rows.call(machine)
        taken = rows.checkpoint(machine, {}, trigger=trigger, call_number=2)

        page = browser("bob").get(f"/machines/{machine.handle}/?at={taken.number}").content.decode()

        assert page.count('id="past-call-') == shown
