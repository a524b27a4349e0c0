"""“Copy as”: every command that a page offers, run as it is printed, does what the page's button does."""

import os
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
import requests

from tests.e2e.stack import ROOT, Stack, eventually

pytestmark = pytest.mark.e2e

SESSION = """
from django.conf import settings
from django.test import Client
from projects.models import User
client = Client()
client.force_login(User.objects.get(username="admin"))
print(settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value)
"""
OFFERED = re.compile(r'<pre class="snippet" id="copy-([\w-]+)-(command|curl)"[^>]*>(.*?)</pre>', re.DOTALL)
FORMS = ("command", "curl")


class Pages:
    """The pages as the admin sees them, and a terminal to paste into."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self._stack = stack
        self._session = requests.Session()
        name, value = stack.manage("shell", "-v", "0", "-c", SESSION).split()[-2:]
        self._session.cookies.set(name, value)
        bin = home / "bin"
        bin.mkdir()
        (bin / "autovibe").symlink_to(ROOT / "bin" / "autovibe")
        self._environment = {
            "PATH": f"{bin}:{os.environ['PATH']}",
            "HOME": str(home),
            "AUTOVIBE_URL": stack.url,
            "AUTOVIBE_TOKEN": stack.token,
        }

    def offered(self, path: str, form: dict[str, str] | None = None) -> dict[tuple[str, str], str]:
        """By verb and form, what the page offers to copy; of a form, once it is filled in."""
        address = f"{self._stack.url}{path}"
        if form:
            token = {"X-CSRFToken": self._token(), "Referer": self._stack.url}
            answer = self._session.post(address, data=form, headers=token, timeout=30)
        else:
            answer = self._session.get(address, timeout=30)
        assert answer.status_code == 200, answer.text[:500]
        return {(verb, kind): unescape(text) for verb, kind, text in OFFERED.findall(answer.text)}

    def _token(self) -> str:
        self._session.get(f"{self._stack.url}/machines/new/", timeout=30)
        return str(self._session.cookies["csrftoken"])

    def paste(self, text: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        assert '"status": 4' not in done.stdout, done.stdout  # curl shows problems and calls it a success
        return done.stdout


@pytest.fixture(scope="module")
def pages(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    return Pages(stack, tmp_path_factory.mktemp("home"))


class TestMachinePage:
    def test_each_does_what_its_button_does(self, stack: Stack, pages: Pages) -> None:
        handle = stack.spawn("echo here; sleep 600", "shell")
        for form in FORMS:
            stack.await_state(handle, "running")
            before = len(stack.checkpoints(handle))
            offered = pages.offered(f"/machines/{handle}/")
            assert handle in pages.paste(offered["machine-show", form])
            assert "lines" in pages.paste(offered["logs", form]) or form == "command"
            pages.paste(offered["checkpoint", form])
            assert len(stack.checkpoints(handle)) == before + 1
            assert f"{handle}.c1" in pages.paste(offered["checkpoints", form])
            pages.paste(offered["pause", form])
            stack.await_state(handle, "paused")
            assert ("pause", form) not in pages.offered(f"/machines/{handle}/")
            pages.paste(pages.offered(f"/machines/{handle}/")["resume", form])
        stack.await_state(handle, "running")
        pages.paste(pages.offered(f"/machines/{handle}/")["terminate", "command"])
        stack.await_state(handle, "terminated")


class TestCheckpointPage:
    def test_each_does_what_its_button_does(self, stack: Stack, pages: Pages) -> None:
        handle = stack.spawn("echo one > a.txt", "shell")
        stack.await_state(handle, "terminated")
        last = stack.checkpoints(handle)[-1]["handle"]
        for form in FORMS:
            offered = pages.offered(f"/checkpoints/{last}/")
            assert last in pages.paste(offered["checkpoint-show", form])
            assert "a.txt" in pages.paste(offered["files", form])
            assert "+one" in pages.paste(offered["diff", form])
            pages.paste(offered["checkpoint-pin", form])
            assert stack.get(f"checkpoints/{last}/")["pinned"] is True
            pages.paste(pages.offered(f"/checkpoints/{last}/")["checkpoint-unpin", form])
            assert stack.get(f"checkpoints/{last}/")["pinned"] is False
            known = len(stack.get("machines/", page_size=200)["results"])
            pages.paste(offered["branch", form])
            newest, *others = stack.get("machines/", page_size=200)["results"]
            assert (newest["source"], len(others)) == (last, known)
            pages.paste(offered["checkpoint-verify", form])
            eventually(
                lambda: stack.get(f"checkpoints/{last}/")["proven_at"], seconds=60, what="it to be proven"
            )
        pages.paste(offered["rollback", "curl"])
        stack.await_state(handle, "terminated")


class TestFleet:
    def test_the_list_is_filtered_as_the_page_is(self, stack: Stack, pages: Pages) -> None:
        stack.post("projects/", {"slug": "empty"}, expect=201)
        handle = stack.spawn("true", "shell")
        for project, found in (("demo", True), ("empty", False)):
            offered = pages.offered(f"/?project={project}")
            for form in FORMS:
                assert (handle in pages.paste(offered["machines", form])) is found


class TestForm:
    def test_a_filled_in_form_can_be_copied(self, stack: Stack, pages: Pages) -> None:
        asked = {
            "project": "demo",
            "type": "shell",
            "prompt": "echo 'it is \"quoted\"' > $HOME/x; true",
            "cap": "2.50",
            "network": "open",
            "keeping": "none",
        }
        offered = pages.offered("/machines/new/prediction/", asked)
        for form in FORMS:
            pages.paste(offered["spawn", form])
            newest = stack.get("machines/", page_size=1)["results"][0]
            shown = stack.get(f"machines/{newest['handle']}/")
            assert [shown[name] for name in ("prompt", "type", "network")] == [
                asked[name] for name in ("prompt", "type", "network")
            ]
            own = stack.get(f"machines/{newest['handle']}/budgets/")["budgets"]
            assert [(one["resource"], one["limit"]) for one in own] == [("money", 2_500_000)]
            assert shown["checkpoints"]["calls"] == 0

    def test_a_fresh_form_offers_what_it_would_do(self, pages: Pages) -> None:
        offered = pages.offered("/machines/new/")
        assert offered["spawn", "command"].startswith("autovibe spawn --project demo --type ")
