"""The page of the audit trail: its search is its address, its rows open, and everybody sees their own."""

import re
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import grammar
from audit.grammar import Term
from events import actions as events
from events import context
from events.chain import checks
from events.context import Source
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard.conftest import Browser, text

PAGE = "/audit/"
OF_DEMO = "/p/demo/audit/"


def rows(page: str) -> list[str]:
    return [
        text(row) for row in re.findall(r"<summary>\s*<span class=\"when\">.*?</summary>", page, re.DOTALL)
    ]


@pytest.fixture
def raised(project: Project) -> None:
    with context.calling(Source("page", "", "203.0.113.9", "request-0001")):
        events.record(
            "budget.raised",
            subject=project.subject,
            project_id=project.pk,
            by="alice",
            before={"limit": 10},
            limit=20,
            why="More <b>time</b>",
        )


class TestTheSearchLanguage:
    @pytest.mark.parametrize(
        ("said", "terms"),
        [
            ("kind:machine.running", [Term("kind", "machine.running")]),
            ("-actor:system lunch", [Term("actor", "system", True), Term("text", "lunch")]),
            ('"out of memory"', [Term("text", "out of memory")]),
            ('token:"my laptop"', [Term("token", "my laptop")]),
            ("subject:machine:1-2", [Term("subject", "machine:1-2")]),
            ("12:30", [Term("text", "12:30")]),
            ('"unended words', [Term("text", "unended words")]),
            ("   ", []),
        ],
    )
    def test_it_is_read(self, said, terms):
        assert grammar.parse(said) == grammar.Asked(terms, [])

    def test_and_written_again(self):
        said = '-actor:system kind:machine.* "out of memory"'

        assert grammar.written(grammar.parse(said).terms) == said

    def test_what_cannot_be_read_is_said_and_the_rest_holds(self):
        asked = grammar.parse("colour:red lunch")

        assert asked.terms == [Term("text", "lunch")]
        assert "There is no field “colour”. There are project, subject" in asked.problems[0]


class TestThePage:
    def test_a_row_says_when_who_what_on_what_and_from_where(self, browser: Browser, raised) -> None:
        page = browser("alice").get(OF_DEMO).content.decode()

        assert re.fullmatch(r"\d\d:\d\d:\d\d alice Budget raised demo page 203\.0\.113\.9", rows(page)[0])

    def test_and_opens_to_before_and_after_and_the_request(self, browser: Browser, raised) -> None:
        page = browser("alice").get(OF_DEMO).content.decode()

        assert "Limit 10 20" in text(page)
        assert "Request request-0001" in text(page)
        assert "More &lt;b&gt;time&lt;/b&gt;" in page

    def test_who_may_not_read_the_audit_sees_no_addresses(self, browser: Browser, raised) -> None:
        page = browser("bob").get(OF_DEMO).content.decode()

        assert "Budget raised" in page
        assert "203.0.113.9" not in page
        assert "request-0001" not in page
        assert "Export" not in page

    def test_machines_and_checkpoints_are_named_and_lead_to_their_pages(
        self, browser: Browser, machine: Machine
    ) -> None:
        events.record("machine.paused", subject=machine.subject, project_id=machine.project_id, by="alice")

        page = browser("alice").get(PAGE).content.decode()

        assert f'<a href="/machines/{machine.handle}/">{machine.handle}</a>' in page

    def test_the_search_is_the_address(self, browser: Browser, raised) -> None:
        page = browser("alice").get(f"{PAGE}?q={quote('kind:budget.* more')}").content.decode()

        assert len(rows(page)) == 1
        assert 'value="kind:budget.* more"' in page
        assert 'href="/audit/export/?q=kind%3Abudget.%2A+more"' in page

    def test_an_unknown_field_is_flagged_in_words(self, browser: Browser, raised) -> None:
        page = browser("alice").get(f"{PAGE}?q=colour:red").content.decode()

        assert 'aria-invalid="true"' in page
        assert "There is no field “colour”" in page

    def test_nothing_found_says_what_to_do(self, browser: Browser, raised) -> None:
        assert "Nothing was found" in browser("alice").get(f"{PAGE}?q=unheard").content.decode()

    def test_a_stranger_to_everything_sees_an_empty_page(self, browser: Browser, raised) -> None:
        assert "Nothing has happened yet" in browser("charlie").get(PAGE).content.decode()

    def test_older_entries_are_loaded_on_request(self, browser: Browser, project: Project) -> None:
        for number in range(60):
            events.record("machine.told", subject=f"machine:{number}", project_id=project.pk)
        client = browser("alice")

        first = client.get(OF_DEMO).content.decode()
        (older,) = set(re.findall(r'hx-get="(\?before=\d+)"', first))
        second = client.get(f"{OF_DEMO}{older}", headers={"HX-Request": "true"}).content.decode()

        assert len(rows(first)) == 50
        assert "<html" not in second
        assert len(rows(second)) >= 10

    def test_it_says_when_the_chain_was_signed_and_verified(self, browser: Browser, project: Project) -> None:
        events.record(checks.INTACT, subject=checks.SUBJECT, events=1234, findings=0, sentences=[])
        page = text(browser("alice").get(PAGE).content.decode())
        assert "1234 entries, unbroken" in page

        events.record(checks.BROKEN, subject=checks.SUBJECT, findings=1, sentences=["Event 5 was edited."])
        page = text(browser("alice").get(PAGE).content.decode())
        assert "The chain was broken" in page
        assert "Event 5 was edited." in page

    def test_it_takes_as_many_queries_for_many_rows_as_for_few(
        self, browser: Browser, machine: Machine
    ) -> None:
        client = browser("alice")
        events.record("machine.told", subject=machine.subject, project_id=machine.project_id)
        client.get(PAGE)
        with CaptureQueriesContext(connection) as few:
            client.get(PAGE)
        for _ in range(60):
            events.record("machine.told", subject=machine.subject, project_id=machine.project_id)
        with CaptureQueriesContext(connection) as many:
            client.get(PAGE)

        assert len(many) <= len(few)
        assert len(many) <= 15


class TestWhoGetsIn:
    @pytest.mark.parametrize(
        ("who", "path", "status"),
        [
            ("", PAGE, 302),
            ("bob", OF_DEMO, 200),
            ("charlie", OF_DEMO, 404),
            ("alice", "/p/demo/audit/export/", 200),
            ("bob", "/p/demo/audit/export/", 403),
            ("charlie", "/p/demo/audit/export/", 404),
            ("charlie", "/audit/export/", 403),
        ],
    )
    def test_outsiders_find_nothing_and_viewers_export_nothing(
        self, browser: Browser, project, who, path, status
    ):
        assert browser(who).get(path).status_code == status

    def test_another_projects_entries_are_not_there(
        self, browser: Browser, raised, people: dict[str, User]
    ) -> None:
        projects.create(slug="other", by=people["charlie"])

        page = browser("charlie").get(PAGE).content.decode()

        assert "Budget raised" not in page
        assert "Project created" in page
