"""The log on a machine's page: which lines it begins with, how others are fetched, and how they are found."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from machines import printed
from machines.models import LogLine, Machine
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


@pytest.fixture
def bob(browser: Browser) -> Client:
    return browser("bob")


@pytest.fixture
def long(machine: Machine) -> list[int]:
    """The ids of a log of 1200 lines."""
    machine.log.all().delete()
    rows.log(machine, *(f"line {number}" for number in range(1200)))
    return list(machine.log.order_by("id").values_list("pk", flat=True))


def ask(bob: Client, machine: Machine, question: str) -> dict[str, Any]:
    told: dict[str, Any] = bob.get(f"/machines/{machine.handle}/log.json?{question}").json()
    return told


def texts(told: dict[str, Any]) -> list[str]:
    return [line["text"] for line in told["lines"]]


class TestThePageShows:
    def page(self, bob: Client, machine: Machine, query: str = "") -> str:
        return bob.get(f"/machines/{machine.handle}/{query}").content.decode()

    def test_the_last_150_and_the_way_to_older_ones(
        self, bob: Client, machine: Machine, long: list[int]
    ) -> None:
        page = self.page(bob, machine)

        assert page.count('class="log-line') == 150
        assert f'href="?line={long[1050]}#L{long[1050]}">Load older' in page
        assert f'href="?line={long[-1]}#L{long[-1]}" hidden>Load newer' in page

    def test_what_is_around_a_line_that_a_link_names(
        self, bob: Client, machine: Machine, long: list[int]
    ) -> None:
        page = self.page(bob, machine, f"?line={long[600]}")

        assert f'log-picked" id="L{long[600]}"' in page
        assert f'id="L{long[526]}"' in page
        assert f'id="L{long[525]}"' not in page
        assert f'id="L{long[675]}"' in page
        assert f'href="?line={long[675]}#L{long[675]}">Load newer' in page

    def test_of_a_short_log_all_of_it(self, bob: Client, machine: Machine) -> None:
        page = self.page(bob, machine)

        assert page.count('class="log-line') == 2
        assert "hidden>Load older" in page

    def test_what_tells_of_trouble_apart(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "ValueError: no", "terrorised")
        rows.log(machine, "loading", stream="err")

        lines = ask(bob, machine, "after=0")["lines"]

        assert [line["bad"] for line in lines] == [False, False, True, False, True]

    def test_where_lines_are_missing(self, bob: Client, machine: Machine) -> None:
        LogLine.objects.filter(machine=machine, number=2).update(number=415)

        assert "413 lines not kept" in self.page(bob, machine)
        last = machine.log.order_by("id").first()
        assert last
        assert ask(bob, machine, f"after={last.pk}")["lines"][0]["missing"] == 413

    def test_but_not_between_two_runs_or_around_what_was_said(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "bob said: go on", stream="say")
        LogLine.objects.filter(machine=machine, stream="say").update(number=2**31 - 1)
        machine.run = uuid4()
        rows.log(machine, "the next run")

        assert "not kept" not in self.page(bob, machine)

    def test_it_takes_two_queries(self, bob: Client, machine: Machine, long: list[int]) -> None:
        with CaptureQueriesContext(connection) as queries:
            ask(bob, machine, f"around={long[600]}")

        assert len([query for query in queries if 'FROM "machines_logline"' in query["sql"]]) == 2


class TestTheScriptFetches:
    def test_older_lines(self, bob: Client, machine: Machine, long: list[int]) -> None:
        told = ask(bob, machine, f"before={long[700]}")

        assert texts(told) == [f"line {number}" for number in range(200, 700)]
        assert told["older"]
        assert not ask(bob, machine, f"before={long[500]}")["older"]

    def test_lines_around_one(self, bob: Client, machine: Machine, long: list[int]) -> None:
        told = ask(bob, machine, f"around={long[600]}")

        assert texts(told) == [f"line {number}" for number in range(526, 676)]
        assert told["older"]
        assert told["newer"]

    def test_the_latest(self, bob: Client, machine: Machine, long: list[int]) -> None:
        told = ask(bob, machine, "latest=1")

        assert texts(told)[-1] == "line 1199"
        assert not told["newer"]

    @pytest.mark.parametrize("question", ["after=x", "after=-1", "after=" + "9" * 19, "before=", "around=²"])
    def test_what_is_no_line_is_no_error(self, bob: Client, machine: Machine, question: str) -> None:
        assert "lines" in ask(bob, machine, question)


class TestALineIsFound:
    @pytest.fixture(params=[printed.NAMED_MAX, 1], ids=["rare", "frequent"])
    def steps(
        self, machine: Machine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> list[int]:
        """The ids of three lines that say step, whether or not there are few enough to name them."""
        monkeypatch.setattr(printed, "NAMED_MAX", request.param)
        rows.log(machine, "Step one", "other", "step.two", "footstep", "a step")
        found = machine.log.exclude(text="footstep").filter(text__icontains="step").order_by("id")
        return list(found.values_list("pk", flat=True))

    def test_the_next_one(self, bob: Client, machine: Machine, steps: list[int]) -> None:
        assert ask(bob, machine, f"q=step&after={steps[0]}")["id"] == steps[1]
        assert ask(bob, machine, f"q=step&before={steps[2]}")["id"] == steps[1]

    def test_from_the_last_on_the_first_again(self, bob: Client, machine: Machine, steps: list[int]) -> None:
        assert ask(bob, machine, f"q=step&after={steps[2]}")["id"] == steps[0]
        assert ask(bob, machine, f"q=step&before={steps[0]}")["id"] == steps[2]

    def test_they_are_counted_where_they_are_few(
        self, bob: Client, machine: Machine, steps: list[int]
    ) -> None:
        counted = ask(bob, machine, "q=step&after=0")["count"]

        assert counted == (3 if printed.NAMED_MAX > 1 else None)

    @pytest.mark.parametrize("words", ["nothing", "---", ""])
    def test_nor_what_is_not_there(self, bob: Client, machine: Machine, words: str) -> None:
        assert ask(bob, machine, f"q={words}&after=0") == {"id": None, "count": 0}

    def test_the_next_that_tells_of_trouble(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "fine", "Traceback (most recent call last):", "still fine")
        rows.log(machine, "a warning", stream="err")
        bad = list(machine.log.order_by("id").values_list("pk", flat=True))

        assert ask(bob, machine, "errors=1&after=0") == {"id": bad[3], "count": 2}
        assert ask(bob, machine, f"errors=1&after={bad[3]}")["id"] == bad[5]

    def test_only_in_that_machine(self, bob: Client, machine: Machine) -> None:
        rows.log(rows.machine(machine.project, machine.source), "elsewhere")

        assert ask(bob, machine, "q=elsewhere&after=0")["id"] is None


class TestTheFile:
    def test_it_is_saved_or_read(self, bob: Client, machine: Machine) -> None:
        saved = bob.get(f"/machines/{machine.handle}/log.txt")
        read = bob.get(f"/machines/{machine.handle}/log.txt?raw=1")

        assert saved["Content-Disposition"] == f'attachment; filename="{machine.handle}.log"'
        assert read["Content-Disposition"].startswith("inline")
        assert read["Content-Type"].startswith("text/plain")


def test_over_rest_only_lines_that_say_it(api: Any, machine: Machine) -> None:
    rows.log(machine, "Hello again")

    told = api("bob").get(f"/api/v1/machines/{machine.handle}/log/?q=hello").json()

    assert [line["text"] for line in told["lines"]] == ["hello", "Hello again"]


@pytest.mark.parametrize("address", ["/machines/{handle}/log.json", "/api/v1/machines/{handle}/log/"])
def test_a_phrase_may_have_twenty_words(bob: Client, machine: Machine, address: str) -> None:
    here = address.format(handle=machine.handle)

    assert bob.get(here, {"q": "a " * 20}).status_code == 200
    assert bob.get(here, {"q": "a " * 21}).status_code == 400
