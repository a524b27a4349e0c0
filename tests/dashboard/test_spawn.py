"""Spawning and branching by forms, as a browser without scripts would."""

import re
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from budgets.models import Budget
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from guests.models import Node
from machines.models import Machine
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


@pytest.fixture
def form(project: Project, genesis: Checkpoint) -> dict[str, object]:
    """A filled-in form, in a project with money."""
    rows.budget(project)
    return {
        "op": str(uuid4()),
        "project": "demo",
        "type": "vibe",
        "prompt": "Say hello.",
        "checkpoint": "",
        "cap": "",
    }


def spawned() -> Machine:
    return Machine.objects.latest("number")


class TestTheForm:
    def test_it_shows_types_budget_and_who_will_answer(self, browser: Browser, form: dict) -> None:
        page = browser("alice").get("/machines/new/").content.decode()

        assert "A small agent of our own" in page
        assert "$20.00" in page
        assert "The offline model will answer." in page

    def test_a_viewer_is_told_why_there_is_no_project(self, browser: Browser, form: dict) -> None:
        page = browser("bob").get("/machines/new/").content.decode()

        assert "no project where you may spawn" in page

    def test_the_address_fills_it(self, browser: Browser, form: dict) -> None:
        page = (
            browser("alice")
            .get("/machines/new/?type=shell&prompt=make+test&checkpoint=demo.c0")
            .content.decode()
        )

        assert ">make test</textarea>" in page
        assert 'value="shell" required checked' in page
        assert 'name="checkpoint" value="demo.c0"' in page

    def test_nonsense_in_the_address_is_no_error(self, browser: Browser, form: dict) -> None:
        page = browser("alice").get("/machines/new/?type=x&project=y&checkpoint=x").content.decode()

        assert 'value="vibe" required checked' in page
        assert "<option selected>demo</option>" in page

    def test_it_says_in_words_what_a_network_profile_lets_through(self, browser: Browser, form: dict) -> None:
        page = browser("alice").get("/machines/new/").content.decode()

        assert "sealed: the model gateway, and nothing else" in page
        assert "Good at builds, test suites" in page

    def test_it_says_what_is_ahead(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint
    ) -> None:
        alice = browser("alice")
        free = alice.get("/machines/new/").content.decode()
        rows.machine(project, genesis, "cloning")
        busy = alice.get("/machines/new/").content.decode()
        Node.objects.create(name="pve1", online=False)
        away = alice.get("/machines/new/").content.decode()

        assert "Nothing is ahead of it: it starts at once." in free
        assert "One other machine is starting now." in busy
        assert "No node is online: it waits until one is back." in away

    def test_it_takes_as_many_queries_with_many_checkpoints_as_with_few(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint,
        django_assert_max_num_queries,
    ) -> None:  # fmt: skip
        source = rows.machine(project, genesis)
        rows.checkpoint(source, {})
        alice = browser("alice")
        alice.get("/machines/new/")
        with django_assert_max_num_queries(15) as few:
            alice.get("/machines/new/")
        for _ in range(60):
            rows.checkpoint(source, {})
        alice.get("/machines/new/")
        with django_assert_max_num_queries(15) as many:
            alice.get("/machines/new/")

        assert len(many) == len(few)


class TestSuggestions:
    def suggested(self, browser: Browser, prompt: str) -> str:
        asked = {"project": "demo", "type": "vibe", "prompt": prompt}
        page = browser("alice").post("/machines/new/prediction/", asked).content.decode()
        return page.partition('id="suggestion"')[2].partition("</p>")[0]

    def test_what_the_prompt_speaks_of_suggests_a_type(self, browser: Browser, form: dict) -> None:
        said = self.suggested(browser, "Please do some refactoring of the parser")

        assert "Claude Code" in said
        assert "the prompt speaks of refactoring" in said

    def test_else_what_went_well_here_does(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint
    ) -> None:
        for code in (0, 0, 0, 1):
            rows.machine(project, genesis, "terminated", type="aider", exit_code=code)

        said = self.suggested(browser, "Do it")

        assert "Aider" in said
        assert "3 of 4 such machines here came to a good end" in said

    def test_else_what_works_everywhere(self, browser: Browser, form: dict) -> None:
        assert "needs nothing in the template but Python" in self.suggested(browser, "Do it")

    def test_no_words_suggest_a_type_that_takes_the_prompt_for_a_command(
        self, browser: Browser, form: dict
    ) -> None:
        assert "Shell" not in self.suggested(browser, "Write the builds and test suites")


class TestBeginnings:
    def found(self, browser: Browser, typed: str = "", who: str = "alice") -> list[str]:
        asked = {"project": "demo", "checkpoint": typed}
        page = browser(who).get("/machines/new/beginnings/", asked).content.decode()
        return re.findall(r'value="([^"]+)"', page)

    def test_the_newest_come_first_and_words_find_any_of_them(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        named = rows.checkpoint(machine, {}, name="Parser works")
        later = [rows.checkpoint(machine, {}) for _ in range(40)]
        broken = rows.checkpoint(machine, {}, state=CheckpointState.BROKEN)

        everything = self.found(browser)

        assert everything[:2] == [later[-1].handle, later[-2].handle]
        assert len(everything) == 30
        assert broken.handle not in everything
        assert self.found(browser, "parser") == [named.handle]
        assert self.found(browser, named.handle.upper())[-1] == named.handle
        assert self.found(browser, "nothing like it") == []

    @pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
    def test_they_are_for_those_who_may_spawn(
        self, who: str, status: int, browser: Browser, project: Project
    ) -> None:
        assert browser(who).get("/machines/new/beginnings/?project=demo").status_code == status


class TestSpawn:
    def test_it_leads_to_the_new_machine(self, browser: Browser, form: dict, genesis: Checkpoint) -> None:
        response = browser("alice").post("/machines/new/", form)

        machine = spawned()
        assert response["Location"] == f"/machines/{machine.handle}/"
        assert (machine.prompt, machine.type, machine.source) == ("Say hello.", "vibe", genesis)

    def test_the_same_form_twice_is_one_machine(self, browser: Browser, form: dict) -> None:
        alice = browser("alice")

        first, second = alice.post("/machines/new/", form), alice.post("/machines/new/", form)

        assert first["Location"] == second["Location"]
        assert Machine.objects.count() == 1

    def test_files_are_typed_and_uploaded(self, browser: Browser, form: dict) -> None:
        upload = SimpleUploadedFile("data.bin", b"\x00\x01")
        form |= {"file_path": ["src/a.py", ""], "file_content": ["one\r\ntwo\r\n", ""], "uploads": [upload]}

        browser("alice").post("/machines/new/", form)

        files = {file.path: bytes(file.content) for file in spawned().files.all()}
        assert files == {"src/a.py": b"one\ntwo\n", "data.bin": b"\x00\x01"}

    def test_a_limit_of_its_own_becomes_a_budget(self, browser: Browser, form: dict) -> None:
        browser("alice").post("/machines/new/", form | {"cap": "2.50"})

        assert Budget.objects.get(holder=f"machine:{spawned().id}").limit == 2_500_000

    def test_it_begins_at_the_checkpoint_that_is_named(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint
    ) -> None:
        source = rows.checkpoint(rows.machine(project, genesis), {"a": "b"}, begun=True)

        browser("alice").post("/machines/new/", form | {"checkpoint": source.handle})

        assert spawned().source == source

    @pytest.mark.parametrize(
        ("change", "status", "sentence"),
        [
            ({"prompt": "  "}, 422, "The prompt is empty"),
            ({"cap": "lots"}, 422, "is not an amount"),
            ({"cap": "0"}, 400, "lets the machine make no call"),
            ({"checkpoint": "m99.c1"}, 422, "There is no checkpoint"),
            ({"file_path": "../x", "file_content": "y"}, 400, "is not a path inside the workspace"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, change: dict, status: int, sentence: str, browser: Browser, form: dict
    ) -> None:
        response = browser("alice").post(
            "/machines/new/", {**form, "file_path": "keep.me", "file_content": "", **change}
        )

        page = response.content.decode()
        assert response.status_code == status
        assert sentence in page
        assert str(form["op"]) in page
        assert change.get("file_path", "keep.me") in page
        assert not Machine.objects.exists()

    def test_no_money_is_402_with_the_command_that_helps(
        self, browser: Browser, form: dict, project: Project
    ) -> None:
        Budget.objects.filter(project=project).delete()

        response = browser("alice").post("/machines/new/", form)

        assert response.status_code == 402
        assert "bin/autovibe budget set demo money" in response.content.decode()
        assert "Say hello." in response.content.decode()

    def test_another_file_row_needs_no_script(self, browser: Browser, form: dict) -> None:
        page = browser("alice").post(
            "/machines/new/", {**form, "file_path": "a", "file_content": "b", "add_file": "1"}
        )

        rows_shown = page.content.decode().partition("<template")[0].count('name="file_path"')
        assert rows_shown == 2
        assert not Machine.objects.exists()

    @pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
    def test_it_is_for_operators_of_the_project(
        self, who: str, status: int, browser: Browser, form: dict
    ) -> None:
        assert browser(who).post("/machines/new/", form).status_code == status
        assert not Machine.objects.exists()


class TestBranch:
    def test_it_keeps_type_and_begins_at_the_checkpoint(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint
    ) -> None:
        source = rows.checkpoint(rows.machine(project, genesis), {"a": "b"}, begun=True)
        alice = browser("alice")

        page = alice.get(f"/checkpoints/{source.handle}/branch/").content.decode()
        alice.post(f"/checkpoints/{source.handle}/branch/", form)

        assert 'value="vibe" required checked' in page
        assert spawned().source == source
        assert spawned().continues

    def test_a_broken_checkpoint_names_another(
        self, browser: Browser, form: dict, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        broken = rows.checkpoint(machine, state=CheckpointState.BROKEN, error="The storage was full.")

        response = browser("alice").post(f"/checkpoints/{broken.handle}/branch/", form)

        assert response.status_code == 409
        assert "demo.c0 instead" in response.content.decode()
