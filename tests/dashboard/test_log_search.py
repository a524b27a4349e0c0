"""The search over all logs: what it finds, for whom, what it says of what it cannot read, and how quickly."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from time import process_time
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard import log_search, log_windows
from machines.models import LogLine, Machine
from machines.printed import marked
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

PAGE = "/logs/"


def lines(page: str) -> list[str]:
    """The texts that were found, as the page has them."""
    found = re.findall(r'<span class="logs-text">(.*?)</span>', page, re.DOTALL)
    return [unescape(re.sub(r"<[^>]+>", "", each)) for each in found]


def search(browser: Client, asked: str, more: str = "") -> str:
    return browser.get(f"{PAGE}?q={quote(asked)}{more}").content.decode()


@pytest.fixture
def bob(browser: Browser) -> Client:
    return browser("bob")


@pytest.fixture
def second(machine: Machine, project: Project) -> Machine:
    return rows.machine(project, machine.source)


class TestWhatWordsFind:
    @pytest.mark.parametrize(
        "asked",
        [
            "ValueError",
            "error",
            "value",
            "ERR",
            '"for int with base"',
            "models.py",
            "src/app",
            "base 1",
            "_app",
        ],
    )
    def test_they_find_a_line_from_their_beginning_on(
        self, bob: Client, machine: Machine, asked: str
    ) -> None:
        rows.log(machine, "src/app/models.py: ValueError: invalid literal for int() with base 10")

        assert len(lines(search(bob, asked))) == 1

    @pytest.mark.parametrize("asked", ["rror", "iteral", '"base for"', "pp"])
    def test_but_not_from_their_middle(self, bob: Client, machine: Machine, asked: str) -> None:
        rows.log(machine, "src/app/models.py: ValueError: invalid literal for int() with base 10")

        assert lines(search(bob, asked)) == []

    def test_several_have_to_be_there_in_any_order(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "one two three")

        assert lines(search(bob, "three one")) == ["one two three"]
        assert lines(search(bob, '"three one"')) == []

    def test_colours_are_no_words(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "\x1b[31mbroken\x1b[0m pipe")

        assert lines(search(bob, '"broken pipe"')) == ["broken pipe"]

    def test_they_are_marked(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "a <b> Broken.pipe unbroken")

        assert "a &lt;b&gt; <mark>Broken.pip</mark>e unbroken" in search(bob, '"broken pip"')

    def test_a_minus_leaves_out(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "try one", "try two")

        assert lines(search(bob, "try -two")) == ["try one"]

    def test_of_a_very_long_line_what_was_found_is_shown(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, "x" * 4000 + " needle " + "y" * 4000)

        (shown,) = lines(search(bob, "needle"))

        assert "needle" in shown
        assert len(shown) < 1100


class TestAmongManyLines:
    """The newest of a hundred lines are read; the others are found by the index, in windows."""

    @pytest.fixture(autouse=True)
    def _few_are_read(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_windows, "LOOKED_THROUGH", 10)
        monkeypatch.setattr(log_windows, "WINDOWS", (60, 0))
        rows.log(
            machine, "rare bird", "bird rare", "ValueError: no", *(f"step {at} of it" for at in range(97))
        )

    @pytest.mark.parametrize(
        ("asked", "found", "said"),
        [
            ("step", 50, "More than 50 lines"),
            ("step it -hello", 50, "More than 50 lines"),
            ("rare", 2, "2 lines"),
            ('"rare bird"', 1, "1 line"),
            ("rare -bird", 0, "No line was found"),
            ("level:error", 1, "1 line"),
            ("level:error no", 1, "1 line"),
            ("level:error -no", 0, "No line was found"),
            ("nothing", 0, "No line was found"),
            ("until:1h rare", 0, "No line was found"),
            ("since:1h rare", 2, "2 lines"),
        ],
    )
    def test_they_are_all_found(self, bob: Client, asked: str, found: int, said: str) -> None:
        page = search(bob, asked)

        assert (len(lines(page)), said in page) == (found, True)

    def test_what_the_index_cannot_tell_is_sought_in_parts(
        self, bob: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_windows, "NAMED_MAX", 60)

        page = search(bob, '"it step"')
        older = re.search(r'href="([^"]*before=[^"]*)"', page)

        assert "No line was found yet" in page
        assert older
        assert (
            "No line was found yet"
            not in bob.get(PAGE + unescape(older[1]).removeprefix(PAGE)).content.decode()
        )

    def test_what_is_only_left_out_is_sought_in_parts_too(self, bob: Client) -> None:
        page = search(bob, "-step")
        found = lines(page)
        assert "No line was found yet" in page
        while older := re.search(r'href="([^"]*before=[^"]*)"', page):
            page = bob.get(unescape(older[1])).content.decode()
            found += lines(page)

        assert found == ["ValueError: no", "bird rare", "rare bird", "world", "hello"]

    def test_it_asks_few_queries(self, bob: Client, machine: Machine) -> None:
        with CaptureQueriesContext(connection) as queries:
            search(bob, f'machine:{machine.handle} project:demo "it step" level:error -zebra')

        assert len(queries) <= 15


@pytest.mark.parametrize(
    ("text", "wanted", "pieces"),
    [
        ("no match", ["other"], [("no match", False)]),
        ("an Error.", ["err"], [("an ", False), ("Err", True), ("or.", False)]),
        ("ValueError", ["error"], [("Value", False), ("Error", True)]),
        ("terror", ["error"], [("terror", False)]),
        ("a.b", ["a b"], [("a.b", True)]),
    ],
)
def test_marks_stand_where_the_search_looks(
    text: str, wanted: list[str], pieces: list[tuple[str, bool]]
) -> None:
    assert marked(text, wanted) == pieces


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a " * 18 + "a b " + "a " * 16_000, ["a " * 19 + "b"]),
        (" ".join(f"a{n}" for n in range(120)) + " a" * 15_000, [f"a{n}" for n in range(120)]),
        ("a" + " _" * 16_000, ["a b"]),
    ],
    ids=["a long phrase", "many words", "what is between words"],
)
def test_a_page_of_lines_that_nearly_say_it_everywhere_costs_little(text: str, wanted: list[str]) -> None:
    began = process_time()

    for _ in range(log_search.ROWS):
        log_search.pieces(text, wanted)

    assert process_time() - began < 0.6


class TestFields:
    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ("machine:{second}", ["other"]),
            ("-machine:{second} -stream:out", ["warned"]),
            ("stream:stderr", ["warned"]),
            ("level:error", ["warned", "it failed"]),
            ("project:demo other", ["other"]),
            ("since:1h other", ["other"]),
            ("until:1h other", []),
        ],
    )
    def test_they_narrow_it(
        self, bob: Client, machine: Machine, second: Machine, asked: str, found: list[str]
    ) -> None:
        rows.log(second, "other")
        rows.log(machine, "it failed")
        rows.log(machine, "warned", stream="err")

        assert lines(search(bob, asked.format(second=second.handle))) == found

    def test_times_are_those_of_whoever_looks(self, bob: Client, machine: Machine) -> None:
        LogLine.objects.update(at=timezone.now() - timedelta(days=2))
        rows.log(machine, "today")
        day = f"{timezone.localtime() - timedelta(days=1):%Y-%m-%dT%H:%M}"

        assert lines(search(bob, "", f"&from={day}")) == ["today"]
        assert lines(search(bob, "", f"&to={day}")) == ["world", "hello"]

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ("colour:red", "There is no field “colour”. There are machine, project"),
            ("stream:blue", "There is no stream “blue”."),
            ("level:loud", "There is no level “loud”."),
            ("since:soon", "“soon” is no time"),
            ("a OR b", "“OR” is not understood"),
            ("---", "only words are searched for"),
            ("a_" * 21, "at most 20 words can be searched for"),
            ("machine:", "lacks what it should be"),
            ("machine:m999", "There is no machine &#x27;m999&#x27; that you may see."),
            ("project:hidden", "There is no project &#x27;hidden&#x27; that you may see."),
        ],
    )
    def test_what_cannot_be_read_is_said_in_place(
        self, bob: Client, machine: Machine, asked: str, said: str
    ) -> None:
        page = search(bob, asked)

        assert said in page
        assert 'aria-invalid="true"' in page
        assert lines(page) == []


class TestThePage:
    def test_the_newest_lines_come_first_with_their_place(self, bob: Client, machine: Machine) -> None:
        page = bob.get(PAGE).content.decode()

        assert lines(page) == ["world", "hello"]
        last = machine.log.order_by("id").last()
        assert last
        assert f'href="/machines/{machine.handle}/?line={last.pk}#L{last.pk}"' in page
        assert "2 lines, newest first" in page

    def test_fifty_at_a_time_none_twice(self, bob: Client, machine: Machine) -> None:
        at = timezone.now()
        rows.log(machine, *(f"step {number}" for number in range(119)))
        LogLine.objects.filter(text__startswith="step").update(at=at)  # none is older than another

        found: list[str] = []
        address = f"{PAGE}?q=step"
        for _ in range(3):
            page = bob.get(address).content.decode()
            found += lines(page)
            older = re.search(r'href="([^"]*before=[^"]*)"', page)
            address = unescape(older[1]) if older else ""

        assert found == [f"step {number}" for number in range(118, -1, -1)]
        assert address == ""

    def test_lines_of_the_end_of_the_calendar_end_as_well(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, *(f"late {number}" for number in range(51)))
        LogLine.objects.filter(text__startswith="late").update(at=datetime.max.replace(tzinfo=UTC))
        bob.cookies["zone"] = "Pacific/Auckland"

        older = re.search(r'href="([^"]*before=[^"]*)"', bob.get(PAGE).content.decode())

        assert bob.get(f"/machines/{machine.handle}/").status_code == 200
        assert older
        assert lines(bob.get(unescape(older[1])).content.decode()) == ["late 0", "world", "hello"]

    @pytest.mark.parametrize("place", ["soon,5", "5", "0001-01-01T00:00%2B10:00,5"])
    def test_a_place_that_cannot_be_read_is_not_the_first_page(
        self, bob: Client, machine: Machine, place: str
    ) -> None:
        answer = bob.get(f"{PAGE}?before={place}")

        assert answer.status_code == 400
        assert "names no line to go on from" in answer.content.decode()

    def test_nothing_found_offers_the_next_wider_range(self, bob: Client, machine: Machine) -> None:
        page = search(bob, "zebra", "&range=1h")

        assert "No line has <code>zebra</code>, in the last hour." in page
        assert 'href="/logs/?q=zebra&amp;range=24h"' in page
        assert "Search the last 24 hours" in page

    def test_before_anything_was_printed_it_says_so(self, bob: Client, project: Project) -> None:
        assert "Nothing was printed yet" in bob.get(PAGE).content.decode()

    def test_errors_of_model_calls_stand_beside(self, bob: Client, machine: Machine) -> None:
        rows.call(machine, state="failed", error="overloaded_error: try later")

        page = search(bob, "overloaded")

        assert "Errors of model calls" in page
        assert f"/machines/{machine.handle}/#call-2" in page
        assert "Errors of model calls" not in search(bob, "overloaded stream:out")
        assert "Errors of model calls" not in search(bob, "-overloaded")

    def test_it_follows_only_when_asked_to(self, bob: Client, machine: Machine) -> None:
        assert b'hx-trigger="every 3s' not in bob.get(PAGE).content
        assert b'hx-trigger="every 3s' in bob.get(f"{PAGE}?follow=1").content

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
    def test_who_is_in_no_project_finds_nothing(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine, state="failed", error="overloaded_error: try later")
        charlie = browser("charlie")

        assert lines(charlie.get(PAGE).content.decode()) == []
        assert lines(search(charlie, "hello")) == []
        assert lines(search(charlie, "overloaded")) == []
        assert b"".join(charlie.get(f"{PAGE}export/")) == b""

    def test_it_asks_few_queries(self, bob: Client, machine: Machine, second: Machine) -> None:
        rows.log(second, *(f"hello {number}" for number in range(60)))

        with CaptureQueriesContext(connection) as queries:
            bob.get(f"{PAGE}?q=hello+machine:{second.handle}+-zebra")

        assert len(queries) <= 15


@pytest.mark.filterwarnings(
    "ignore:StreamingHttpResponse must consume"
)  # the server of these tests is not async
class TestTheExport:
    def read(self, browser: Client, query: str) -> str:
        response = browser.get(f"{PAGE}export/?{query}")
        assert response.status_code == 200
        return b"".join(response).decode()

    def test_it_has_every_line_the_oldest_first(self, bob: Client, machine: Machine) -> None:
        rows.log(machine, *(f"step {number}" for number in range(120)))

        found = self.read(bob, "q=step").splitlines()

        assert len(found) == 120
        assert re.fullmatch(rf"\S+Z {machine.handle} out step 0", found[0])

    def test_as_json_lines_it_has_all_that_is_known(self, bob: Client, machine: Machine) -> None:
        (told,) = map(json.loads, self.read(bob, "q=world&as=jsonl").splitlines())

        assert told["text"] == "world"
        assert (told["machine"], told["project"], told["number"]) == (machine.handle, "demo", 2)

    def test_of_what_cannot_be_read_there_is_none(self, bob: Client, machine: Machine) -> None:
        response = bob.get(f"{PAGE}export/?q=colour:red")

        assert response.status_code == 400
        assert "There is no field" in response.content.decode()
