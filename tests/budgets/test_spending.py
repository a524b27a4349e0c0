"""What was used, however it is cut, adds up; and the ledger can be read page by page."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from budgets import actions, journal, ledger, reports
from budgets.journal import Filter
from budgets.models import LedgerEntry
from budgets.reports import Used
from projects import actions as projects
from projects.models import Project, User
from tests.budgets.conftest import Ask
from tests.budgets.rows import entry

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ONE, OTHER = uuid4(), uuid4()


def enter(*entries: LedgerEntry) -> None:
    LedgerEntry.objects.bulk_create(entries)


def of(project: Project, **also: Any) -> reports.Breakdown:
    return reports.breakdown([project.id], **{"since": NOW - 30 * DAY, "until": NOW, **also})


class TestBreakdown:
    def test_every_cut_adds_up_to_the_whole(self, project: Project, alice: User) -> None:
        enter(
            entry(project, NOW - DAY, 300, machine_id=ONE, member_id=alice.pk),
            entry(project, NOW - DAY, 20, machine_id=OTHER, label="gpt-5", member_id=alice.pk),
            entry(project, NOW - 2 * DAY, 1, label="compute", calls=0, wall_seconds=60, cpu_seconds=7),
            entry(project, NOW - 3 * DAY, -5, machine_id=ONE, kind="correction", calls=0, output_tokens=-10),
        )

        found = of(project)

        assert found.total.micros == 316
        assert (found.total.calls, found.total.wall_seconds, found.total.output_tokens) == (2, 60, 1190)
        for cut in (found.projects, found.labels, found.machines, found.members, found.days):
            assert sum(cut.values(), Used()) == found.total
        assert found.labels["gpt-5"].micros == 20
        assert found.machines[ONE].micros == 295
        assert found.machines[None].micros == 1
        assert found.members == {
            alice.pk: found.labels["claude-sonnet-4-5"]
            + found.labels["gpt-5"]
            + Used(micros=5, input_tokens=-900, cached_tokens=-4100, output_tokens=10),
            None: found.members[None],
        }

    def test_cached_tokens_are_counted_once_and_apart(self, project: Project) -> None:
        enter(entry(project, NOW - DAY, cache_write_tokens=50))

        total = of(project).total

        assert (total.input_tokens, total.cached_tokens, total.cache_write_tokens) == (900, 4100, 50)
        assert total.tokens == 900 + 4100 + 50 + 400
        assert total.new_tokens == 950

    def test_days_begin_where_it_is_asked_for(self, project: Project) -> None:
        enter(entry(project, datetime(2026, 11, 10, 23, 30, tzinfo=UTC)))

        assert list(of(project).days) == [date(2026, 11, 10)]
        assert list(of(project, zone=ZoneInfo("Europe/Berlin")).days) == [date(2026, 11, 11)]

    def test_limits_and_other_projects_are_not_consumption(self, project: Project, alice: User) -> None:
        other = projects.create(slug="other", by=alice)
        actions.set_limit(project, "money", 1_000_000, by=alice)
        enter(entry(other, NOW - DAY))

        assert reports.breakdown([project.id], since=NOW - DAY, until=NOW + 10_000 * DAY).total == Used()

    def test_what_is_a_bound_only_is_counted(self, project: Project) -> None:
        enter(entry(project, NOW - DAY, kind="assumed"), entry(project, NOW - DAY))

        assert of(project).total.assumed == 1

    def test_it_is_one_query(self, project: Project) -> None:
        with CaptureQueriesContext(connection) as asked:
            of(project)

        assert len(asked) == 1


class TestHolds:
    def test_it_lists_what_is_held_until_it_is_settled(self, project: Project, alice: User, ask: Ask) -> None:
        actions.set_limit(project, "money", 1000, by=alice)
        grant = ask("call:1", machine_id=ONE)
        assert isinstance(grant, actions.Grant)

        (held,) = reports.holds([project.id])
        assert (held.machine_id, held.held["money"]) == (ONE, 200)
        ledger.release(grant.reservation_id)

        assert not reports.holds([project.id])


class TestWindows:
    def test_they_come_by_whose_what_and_how_long(self, project: Project, alice: User) -> None:
        member = actions.Holder.of_member(project, alice)
        actions.change_limit(member, "money", 5, by=alice)
        for resource, period in (("calls", "day"), ("money", "month"), ("money", "day")):
            actions.set_limit(project, resource, 5, by=alice, period=period)
        actions.set_limit(project, "money", 5, by=alice, machine_id=ONE, scope="Machine m1")

        found = [(one.budget.kind, one.resource, one.budget.period) for one in reports.standing([project.id])]

        assert found == [
            ("project", "money", "day"),
            ("project", "money", "month"),
            ("project", "calls", "day"),
            ("member", "money", "total"),
        ]


class TestPages:
    def test_they_follow_each_other_without_gaps(self, project: Project) -> None:
        enter(*(entry(project, NOW - DAY, number) for number in range(7)))

        seen, before = [], None
        while True:
            page = journal.page(project, Filter(), before=before, size=3)
            seen += [one.micros for one in page.entries]
            if (before := page.before) is None:
                break

        assert seen == [6, 5, 4, 3, 2, 1, 0]

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            (Filter(), {1, 2, 3}),
            (Filter(kind="assumed"), {1}),
            (Filter(label="gpt-5"), {2}),
            (Filter(machine_id=ONE), {1, 2}),
            (Filter(machine_id=ONE, kind="usage"), {2}),
            (Filter(day=date(2026, 11, 20)), {3}),
            (Filter(day=date.max), set()),
        ],
    )
    def test_they_are_filtered(self, project: Project, asked: Filter, found: set[int]) -> None:
        enter(
            entry(project, NOW - 2 * DAY, 1, machine_id=ONE, kind="assumed"),
            entry(project, datetime(2026, 11, 19, 20, tzinfo=UTC), 2, machine_id=ONE, label="gpt-5"),
            entry(project, datetime(2026, 11, 20, 20, tzinfo=UTC), 3),
        )

        assert {one.micros for one in journal.page(project, asked).entries} == found

    def test_a_search_for_something_rare_stops_and_can_be_gone_on_with(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "SEARCHED_AT_ONCE", 4)
        enter(
            entry(project, NOW - 3 * DAY, 1, label="rare"),
            *(entry(project, NOW - DAY, number) for number in range(2, 9)),
        )

        first = journal.page(project, Filter(label="rare"))
        assert (first.entries, first.searched_to) == ([], NOW - DAY)
        second = journal.page(project, Filter(label="rare"), before=first.before)

        assert [one.micros for one in second.entries] == [1]
        assert second.before is None

    def test_a_page_is_one_query_or_two(self, project: Project) -> None:
        enter(*(entry(project, NOW - DAY) for _ in range(60)))
        with CaptureQueriesContext(connection) as plain:
            journal.page(project, Filter())
        with CaptureQueriesContext(connection) as searched:
            journal.page(project, Filter(kind="usage"))

        assert (len(plain), len(searched)) == (1, 2)


def read(project: Project, asked: Filter | None = None) -> list[dict[str, str]]:
    def handles(ids: Iterable[UUID]) -> dict[UUID, str]:
        return dict.fromkeys(ids, "m7")

    async def text() -> str:
        return "".join([piece async for piece in journal.as_csv(project, asked or Filter(), handles)])

    return list(csv.DictReader(io.StringIO(async_to_sync(text)())))


class TestCsv:
    def test_it_has_every_entry_however_many_pages_they_take(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "CSV_ROWS_AT_ONCE", 2)
        enter(*(entry(project, NOW - DAY, number) for number in range(5)))

        assert [row["cost"] for row in read(project)] == [f"0.{number:06d}" for number in (4, 3, 2, 1, 0)]

    def test_it_names_machines_and_members_and_gives_exact_sums(self, project: Project, alice: User) -> None:
        enter(
            entry(
                project, NOW - DAY, -1_234_567, machine_id=ONE, member_id=alice.pk, windows=[3], amounts=[-9]
            )
        )

        (row,) = read(project)

        assert (row["machine"], row["member"], row["cost"], row["currency"]) == (
            "m7",
            "alice",
            "-1.234567",
            "USD",
        )
        assert (row["cached_tokens"], row["changes"]) == ("4100", "3:-9")

    def test_a_model_named_like_a_formula_is_text(self, project: Project) -> None:
        enter(entry(project, NOW - DAY, label="=HYPERLINK(1)"))

        assert read(project)[0]["for"] == "'=HYPERLINK(1)"

    def test_so_is_a_member(self, project: Project) -> None:
        enter(entry(project, NOW - DAY, member_id=User.objects.create_user("@SUM").pk))

        assert read(project)[0]["member"] == "'@SUM"

    def test_an_empty_ledger_has_its_headings(self, project: Project) -> None:
        assert read(project) == []
