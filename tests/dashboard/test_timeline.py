"""The timeline of a machine: what it shows, how long stretches are cut short, and what that says in a sentence."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint
from dashboard import timeline, waterfall
from dashboard.timeline import Part, Span
from events import actions as events
from machines.models import Machine
from operations.models import Operation
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

NOON = datetime.fromisoformat("2031-05-06T12:00:00+00:00")


def span(kind: str, begin: float, end: float, name: str = "x 1", same: str = "", look: str = "work") -> Span:
    parts = (Part(look, NOON + timedelta(seconds=begin), NOON + timedelta(seconds=end)),)
    return Span(kind, name, parts, same=same)


class TestTheDrawing:
    def test_a_stretch_in_which_nothing_happens_is_a_break(self) -> None:
        fall = waterfall.draw([span("model", 0, 10), span("model", 7210, 7220)])

        assert fall
        assert [gap.text for gap in fall.breaks] == ["2 h"]
        first, second = (row.bars[0] for row in fall.rows)
        assert first.width == pytest.approx(second.width, abs=1)
        assert first.width > 400

    def test_what_lies_beside_each_other_is_drawn_to_scale(self) -> None:
        fall = waterfall.draw([span("model", 0, 10), span("tools", 10, 40)])

        assert fall
        assert [bar.bars[0].width for bar in fall.rows] == [250, 750]
        assert fall.breaks == []

    def test_in_order_only_all_have_room(self) -> None:
        fall = waterfall.draw([span("model", 0, 1), span("tools", 1, 3600)], compact=True)

        assert fall
        assert [bar.bars[0].width for bar in fall.rows] == [500, 500]

    def test_alike_ones_in_a_row_are_one_row(self) -> None:
        calls = [span("model", at, at + 1, f"Call {at}", same="m done") for at in (1, 2, 3)]
        fall = waterfall.draw([*calls, span("model", 9, 10, "Call 4", same="m failed")])

        assert fall
        assert [(row.name, row.count) for row in fall.rows] == [("Call 1 to 3", 3), ("Call 4", 1)]

    @pytest.mark.parametrize(
        "spans", [[span("model", 0, 0)], [span("model", 0, 100)], [span("wait", 0, 1e7)]]
    )
    def test_nothing_leaves_the_picture(self, spans: list[Span]) -> None:
        fall = waterfall.draw(spans)

        assert fall
        for row in fall.rows:
            assert all(0 <= bar.x <= bar.x + bar.width <= waterfall.WIDTH for bar in row.bars)

    def test_it_says_what_it_shows(self) -> None:
        call = Span(
            "model",
            "Call 1",
            (
                Part("work", NOON, NOON + timedelta(seconds=4)),
                Part("held", NOON + timedelta(seconds=4), NOON + timedelta(seconds=4.5)),
            ),
        )
        fall = waterfall.draw([call, span("tools", 4.5, 9)])

        assert fall
        assert fall.title == "1 call took 4.5 s of 9.0 s; checkpoints held it up for 500 ms."


class TestTheSpans:
    def test_operations_calls_tools_checkpoints_pauses_and_messages_are_told(self, machine: Machine) -> None:
        now = timezone.now()
        Operation.objects.create(
            subject=machine.subject, project=machine.project, lock=machine.guest.subject, verb="spawn",
            task="machines.tasks.spawn", status="succeeded", started_at=now, finished_at=now,
        )  # fmt: skip
        rows.call(machine, started_at=now + timedelta(seconds=30))
        machine.messages.create(text="Buzz at 7.", author="alice")
        events.record("machine.paused", subject=machine.subject)
        events.record("machine.resuming", subject=machine.subject)

        spans, older = timeline.of(machine, now + timedelta(minutes=1))

        assert {one.kind for one in spans} == {"machine", "model", "checkpoint", "wait"}
        assert not older

    def test_a_call_that_nobody_closed_ended_with_its_machine(self, machine: Machine) -> None:
        ended = timezone.now() - timedelta(hours=1)
        rows.call(machine, state="streaming", duration_ms=None, started_at=ended - timedelta(minutes=1))
        Machine.objects.filter(pk=machine.pk).update(ended_at=ended)
        machine.refresh_from_db()

        spans, _ = timeline.of(machine, timezone.now())

        call = next(span for span in spans if span.name == "Call 2")
        assert (call.ended, call.lasts) == (ended, False)

    def test_between_two_calls_the_agent_is_at_work(self, machine: Machine) -> None:
        first = machine.calls.get()
        rows.call(machine, started_at=first.started_at + timedelta(seconds=10))

        spans, _ = timeline.of(machine, first.started_at + timedelta(minutes=1))

        tools = next(one for one in spans if one.kind == "tools")
        assert tools.ended - tools.began == timedelta(seconds=7.6)
        assert tools.said == "between calls 1 and 2"


class TestThePage:
    def test_it_has_the_picture_the_table_and_the_ways_on(
        self, browser: Browser, machine: Machine, django_assert_max_num_queries
    ) -> None:
        client = browser("bob")
        for _ in range(60):
            rows.call(machine)
            rows.checkpoint(machine)
        with django_assert_max_num_queries(15):
            page = client.get(f"/machines/{machine.handle}/?tab=timeline").content.decode()

        assert 'role="img" aria-labelledby="timeline-said"' in page
        assert page.count('<tr class="fall-') <= timeline.ROWS
        assert "before=" in page
        assert "Older" in page

    def test_rows_lead_to_the_call_the_checkpoint_the_operations_and_the_log_of_that_time(
        self, browser: Browser, machine: Machine
    ) -> None:
        now = timezone.now()
        machine.log.update(at=now - timedelta(hours=1))
        rows.log(machine, "later")
        rows.call(machine, started_at=now)
        rows.checkpoint(machine, call_number=2)
        client, here = browser("bob"), f"/machines/{machine.handle}/"

        page = client.get(f"{here}?tab=timeline").content.decode()
        table = page[page.index("<tbody>") :]

        assert f'<a href="{here}?tab=cost#call-2">Call 2</a>' in table
        assert (
            table.count(f'<a href="/checkpoints/{machine.handle}.c3/">') == 2
        )  # its own row's, and the call's
        assert f'href="/operations/?machine={machine.handle}">Operations</a>' in page
        since = table.partition(f"{here}?since=")[2].partition('"')[0]
        line = machine.log.get(text="later").pk
        assert client.get(f"{here}?since={since}").headers["Location"] == f"{here}?line={line}#L{line}"

    @pytest.mark.parametrize("asked", ["", "x", "2031", "2999-01-01T00:00:00Z"])
    def test_a_time_that_is_none_or_yet_to_come_leads_somewhere(
        self, asked: str, browser: Browser, machine: Machine
    ) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/", {"since": asked}, follow=True)

        assert page.status_code == 200

    @pytest.mark.parametrize(
        "query", ["before=x", "before=2031", "view=compact", "before=1999-01-01T00:00:00Z"]
    )
    def test_any_address_is_answered(self, query: str, browser: Browser, machine: Machine) -> None:
        answer = browser("bob").get(f"/machines/{machine.handle}/?tab=timeline&{query}")

        assert answer.status_code == 200

    def test_before_anything_happened_it_says_so(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        made = rows.machine(project, genesis, "requested")

        page = browser("bob").get(f"/machines/{made.handle}/?tab=timeline").content.decode()

        assert "Nothing has happened yet." in page
