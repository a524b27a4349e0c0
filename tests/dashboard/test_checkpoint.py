"""The checkpoint page: files, one file, and what changed."""

import pytest

from checkpoints.models import Checkpoint
from checkpoints.states import State
from machines.models import Machine
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


def page_of(browser: Browser, checkpoint: Checkpoint, query: str = "") -> str:
    return browser("bob").get(f"/checkpoints/{checkpoint.handle}/{query}").content.decode()


class TestThePage:
    def test_it_lists_files_and_what_changed(self, browser: Browser, checkpoint: Checkpoint) -> None:
        page = page_of(browser, checkpoint)

        assert "hello.py" in page
        assert "Changes from" in page
        assert 'class="diff-line diff-add"' in page
        assert "print(&#x27;hello&#x27;)" in page

    def test_it_shows_a_file(self, browser: Browser, checkpoint: Checkpoint) -> None:
        page = page_of(browser, checkpoint, "?path=hello.py")

        assert 'class="code-line"' in page
        assert 'aria-current="true"' in page

    def test_a_file_that_is_not_there_is_404(self, browser: Browser, checkpoint: Checkpoint) -> None:
        assert browser("bob").get(f"/checkpoints/{checkpoint.handle}/?path=nope").status_code == 404

    def test_it_compares_with_any_other(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        later = rows.checkpoint(machine, {"other.txt": "x\n"})

        page = page_of(browser, checkpoint, f"?to={later.handle}")

        assert f"Changes from {checkpoint.handle} to {later.handle}" in page
        assert "removed" in page
        assert "added" in page

    def test_the_beginning_has_nothing_before_it(self, browser: Browser, genesis: Checkpoint) -> None:
        page = page_of(browser, genesis)

        assert "nothing before it" in page
        assert "The workspace is empty." in page

    @pytest.mark.parametrize("state", [State.REQUESTED, State.BROKEN])
    def test_one_without_a_list_says_why(
        self, state: State, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        made = rows.checkpoint(rows.machine(project, genesis), state=state)

        page = page_of(browser, made)

        assert "has no list of files" in page
        assert "Branch from here" not in page

    def test_git_keeps_to_itself(self, browser: Browser, project: Project, genesis: Checkpoint) -> None:
        made = rows.checkpoint(rows.machine(project, genesis), {".git/HEAD": "ref\n", "a.py": "1\n"})

        page = page_of(browser, made)

        assert "1 of git" in page
        assert page.count("diff-add") == 1

    def test_what_needs_the_list_is_refused_on_a_page(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        made = rows.checkpoint(rows.machine(project, genesis), state=State.BROKEN)
        address = f"/checkpoints/{made.handle}/?path=hello.py"

        page = browser("bob").get(address)
        fragment = browser("bob").get(address, headers={"HX-Request": "true"})

        assert (page.status_code, fragment.status_code) == (409, 409)
        assert "That cannot be done now" in page.content.decode()
        assert "has no list of files" in page.content.decode()
        assert fragment["Content-Type"].startswith("text/plain")
        assert fragment.content.decode().startswith(f"Checkpoint {made.handle} has no list of files")
