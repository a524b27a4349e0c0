"""The fleet page: what it counts, lists and asks a person for, and what that costs."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import requests, transfers
from checkpoints.models import Checkpoint
from dashboard.fleet import picture, sparks
from guests.models import Diagnosis, Guest, Node, Usage
from machines.models import Machine
from machines.states import State
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


class TestTheList:
    def test_it_says_what_a_machine_is_and_costs(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine, cost_micros=1_830_000)

        page = browser("bob").get("/").content.decode()

        assert machine.handle in page
        assert "Write a fizzbuzz" in page
        assert "$1.84" in page
        assert ">2</td>" in page

    def test_it_shows_nothing_of_other_peoples_projects(
        self, browser: Browser, machine: Machine, people: dict[str, User]
    ) -> None:
        projects.create(slug="private", by=people["charlie"])

        page = browser("charlie").get("/").content.decode()

        assert machine.handle not in page
        assert "demo" not in page
        assert "No machines yet" in page

    def test_it_filters_by_state_and_project(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        running = rows.machine(project, genesis)
        ended = rows.machine(project, genesis, State.TERMINATED)

        page = browser("alice").get("/?state=running&project=demo").content.decode()

        assert f'id="{running.handle}"' in page
        assert f'id="{ended.handle}"' not in page

    def test_a_filter_that_matches_nothing_offers_a_way_back(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = browser("alice").get("/?state=failed").content.decode()

        assert "No machine matches" in page
        assert "Show all 1" in page

    @pytest.mark.parametrize("query", ["page=999", "page=x", "state=nonsense", "project=none"])
    def test_nonsense_in_the_address_is_no_error(
        self, query: str, browser: Browser, machine: Machine
    ) -> None:
        assert browser("alice").get(f"/?{query}").status_code == 200

    def test_it_labels_machines_that_the_offline_model_answered(
        self, browser: Browser, machine: Machine
    ) -> None:
        rows.call(machine, offline=True)

        assert "offline model" in browser("alice").get("/").content.decode().partition("<main")[2]

    def test_it_costs_as_many_queries_for_forty_machines_as_for_two(
        self, browser: Browser, project: Project, genesis: Checkpoint, django_assert_max_num_queries
    ) -> None:
        def populate(number: int) -> None:
            for _ in range(number):
                made = rows.machine(project, genesis, State.FAILED, ended_at=timezone.now())
                rows.checkpoint(made, {"a": "b"})
                rows.call(made)

        alice = browser("alice")
        rows.budget(project)  # with which the first steps are done
        populate(2)
        alice.get("/")  # what is kept for a moment is read
        with django_assert_max_num_queries(15) as few:
            alice.get("/")
        populate(38)
        alice.get("/")
        with django_assert_max_num_queries(15) as many:
            alice.get("/")

        assert len(many) == len(few)

    def test_it_costs_no_more_while_first_steps_are_to_be_done(
        self,
        browser: Browser,
        alice: User,
        project: Project,
        genesis: Checkpoint,
        django_assert_max_num_queries,
    ) -> None:
        User.objects.filter(pk=alice.pk).update(is_superuser=True)
        rows.machine(project, genesis)
        Diagnosis.objects.create(asked_by="alice")  # the cluster is being checked
        client = browser("alice")
        client.get("/")

        with django_assert_max_num_queries(15):
            assert "first steps" in client.get("/").content.decode().lower()

    def test_a_page_of_fifty_is_not_heavy(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        minute = timezone.now().replace(second=0, microsecond=0)
        for _ in range(50):
            made = rows.machine(project, genesis)
            Usage.objects.bulk_create(
                Usage(
                    guest_id=made.guest_id, at=minute - timedelta(minutes=ago), cpu_seconds=ago,
                    memory_bytes=0,
                )
                for ago in range(60)
            )  # fmt: skip

        assert len(browser("alice").get("/", headers={"HX-Request": "true"}).content) < 100_000


def listed(page: str) -> list[str]:
    """The handles in the table, in its order."""
    return re.findall(r'<tr id="(m\d+)"', page)


class TestTheFilter:
    @pytest.fixture
    def several(self, project: Project, genesis: Checkpoint, people: dict[str, User]) -> dict[str, str]:
        shop = projects.create(slug="shop", by=people["alice"])
        made = {
            "running": rows.machine(project, genesis),
            "aider": rows.machine(project, genesis, type="aider", created_by=people["bob"]),
            "failed": rows.machine(shop, genesis, State.FAILED, prompt="Translate the manual"),
            "paused": rows.machine(shop, genesis, State.PAUSED, paused_for="person"),
        }
        Guest.objects.filter(pk=made["aider"].guest_id).update(node="pve2")
        return {name: machine.handle for name, machine in made.items()}

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("state:failed", {"failed"}),
            ("state:failed,paused", {"failed", "paused"}),
            ("-state:running", {"failed", "paused"}),
            ("project:demo type:aider", {"aider"}),
            ("node:pve2", {"aider"}),
            ("by:bob", {"aider"}),
            ('"the manual"', {"failed"}),
            ("project:shop -translate", {"paused"}),
            ("", {"running", "aider", "failed", "paused"}),
        ],
    )
    def test_a_line_finds_what_every_term_holds_of(
        self, line: str, found: set[str], browser: Browser, several: dict[str, str]
    ) -> None:
        page = browser("alice").get("/", {"q": line}).content.decode()

        assert set(listed(page)) == {several[name] for name in found}

    def test_a_handle_finds_its_machine(self, browser: Browser, several: dict[str, str]) -> None:
        page = browser("alice").get("/", {"q": several["paused"]}).content.decode()

        assert listed(page) == [several["paused"]]

    def test_the_line_the_selects_and_the_address_say_the_same(
        self, browser: Browser, several: dict[str, str]
    ) -> None:
        alice = browser("alice")

        page = alice.get("/", {"q": "state:failed project:shop manual"}).content.decode()

        assert 'value="state:failed project:shop manual"' in page
        assert '<option value="failed" selected>' in page
        assert '<option value="shop" selected>' in page
        assert '<input type="hidden" name="q" value="manual">' in page
        chosen = alice.get("/", {"q": "manual", "state": "failed", "project": "shop"}).content.decode()
        assert listed(chosen) == listed(page) == [several["failed"]]

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("stat:failed", "There is no field “stat”"),
            ("state:broken", "There is no state “broken”"),
            ("project:", "lacks what it should be"),
        ],
    )
    def test_what_is_not_understood_is_said_in_place_and_kept(
        self, line: str, problem: str, browser: Browser, several: dict[str, str]
    ) -> None:
        page = browser("alice").get("/", {"q": line}).content.decode()

        assert problem in page
        assert f'value="{line}"' in page
        assert 'aria-invalid="true"' in page


class TestTheOrder:
    def test_what_needs_somebody_is_first_then_the_newest(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        failed, fine, newest = (
            rows.machine(project, genesis, state) for state in (State.FAILED, State.RUNNING, State.RUNNING)
        )

        page = browser("alice").get("/").content.decode()

        assert listed(page) == [failed.handle, newest.handle, fine.handle]

    def test_a_column_sorts_and_its_head_says_so(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        alice = browser("alice")
        cheap, dear = rows.machine(project, genesis), rows.machine(project, genesis)
        rows.call(cheap, cost_micros=1)
        rows.call(dear, cost_micros=1_000_000)

        down, up = (alice.get("/", {"sort": sort}).content.decode() for sort in ("-spent", "spent"))

        assert listed(down) == [dear.handle, cheap.handle]
        assert listed(up) == [cheap.handle, dear.handle]
        assert 'aria-sort="descending"><a href="?sort=spent">Spent' in down

    @pytest.mark.parametrize("column", ["machine", "state", "project", "type", "spent", "since"])
    def test_every_column_sorts_both_ways(self, column: str, browser: Browser, machine: Machine) -> None:
        for sort in (column, f"-{column}"):
            assert listed(browser("alice").get("/", {"sort": sort}).content.decode()) == [machine.handle]


class TestWhileOneLooks:
    LIVE = {"HX-Request": "true"}

    def test_a_part_of_the_list_keeps_its_rows_and_says_that_there_are_more(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        alice = browser("alice")
        first, second = rows.machine(project, genesis), rows.machine(project, genesis)
        shown = {"q": "state:running", "shown": f"{second.handle} {first.handle}"}
        rows.machine(project, genesis)
        Machine.objects.filter(pk=first.pk).update(state=State.PAUSED)

        page = alice.get("/", shown, headers=self.LIVE).content.decode()

        assert listed(page) == [second.handle, first.handle]
        assert "1 new machine in this list." in page
        assert '<a href="?q=state%3Arunning">Show it as it is now</a>' in page

    def test_the_whole_list_follows(self, browser: Browser, project: Project, genesis: Checkpoint) -> None:
        first, second = rows.machine(project, genesis), rows.machine(project, genesis)

        page = browser("alice").get("/", {"shown": first.handle}, headers=self.LIVE).content.decode()

        assert listed(page) == [second.handle, first.handle]

    def test_but_not_while_one_chooses_from_it(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        first = rows.machine(project, genesis)
        rows.machine(project, genesis)

        asked = {"shown": first.handle, "machine": first.handle}
        page = browser("alice").get("/", asked, headers=self.LIVE).content.decode()

        assert listed(page) == [first.handle]
        assert "1 new machine in this list." in page

    def test_nobody_is_shown_what_they_may_not_see(
        self, browser: Browser, machine: Machine, people: dict[str, User], genesis: Checkpoint
    ) -> None:
        own = rows.machine(projects.create(slug="shop", by=people["charlie"]), genesis)
        asked = {"q": "state:running", "shown": f"{machine.handle} {own.handle} m0 x7"}

        page = browser("charlie").get("/", asked, headers=self.LIVE).content.decode()

        assert listed(page) == [own.handle]


class TestTheMap:
    def test_it_says_what_it_shows_and_has_the_same_as_a_table(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)
        silent = rows.machine(project, genesis, heard_at=timezone.now() - timedelta(minutes=5))
        rows.machine(project, genesis, State.PAUSED, paused_for="person")
        gone = rows.machine(project, genesis, State.TERMINATED)
        Guest.objects.filter(pk=silent.guest_id).update(node="pve2")

        page = browser("alice").get("/").content.decode()
        drawn = page[page.index('id="map"') : page.index('id="machines"')]

        assert "2 running, 1 paused on 2 nodes." in drawn
        assert f"<title>{silent.handle}: silent, demo</title>" in drawn
        assert f"<title>{gone.handle}:" not in drawn
        assert re.search(r'<th scope="row" class="fill">pve2</th><td class="number">1</td>', drawn)

    def test_it_is_by_project_where_that_is_asked_for(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)

        page = browser("alice").get("/?group=project").content.decode()

        assert "1 running in 1 project." in page
        assert 'id="place-demo"' in page

    def test_too_many_are_counted(
        self, browser: Browser, project: Project, genesis: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(picture, "HEXAGONS_MAX", 2)
        for _ in range(3):
            rows.machine(project, genesis)

        page = browser("alice").get("/").content.decode()

        assert 'class="place"' not in page
        assert "3 running on 1 node." in page


class TestSparklines:
    def test_minutes_that_nobody_measured_are_gaps(self) -> None:
        spark = sparks.drawn({0: 0, 1: 1, 2: 0.5, 7: 0.25})

        assert spark.path == "M0 19L1 1L2 10M7 15h.5"
        assert (spark.last, spark.most) == (25, 100)

    def test_it_is_of_the_last_hour(self, browser: Browser, machine: Machine) -> None:
        minute = timezone.now().replace(second=0, microsecond=0)
        for ago, seconds in ((4, 60), (3, 60), (2, 60), (1, 0), (90, 120)):
            Usage.objects.create(
                guest=machine.guest, at=minute - timedelta(minutes=ago), cpu_seconds=seconds, memory_bytes=0
            )

        page = browser("alice").get("/").content.decode()

        assert "CPU: 25 %, at most 50 % in the last hour" in page


class TestNodes:
    def test_one_that_is_away_is_named(self, browser: Browser, machine: Machine) -> None:
        Node.objects.create(name="pve1")
        Node.objects.create(name="pve2", online=False)

        page = browser("alice").get("/").content.decode()

        assert "pve2 is away since" in page

    def test_room_for_more_is_said_on_the_map_and_before_spawning(
        self, browser: Browser, machine: Machine
    ) -> None:
        seen = {"memory_bytes": 32 * 1024**3, "memory_used_bytes": 12 * 1024**3, "seen_at": timezone.now()}
        Node.objects.create(name="embedded", **seen)
        alice = browser("alice")

        page = alice.get("/").content.decode()
        form = alice.get("/machines/new/").content.decode()

        assert "9 <small>more, about</small>" in page
        assert "room for 9</span>" in page
        assert "Room for about 9 more machines. Memory binds on embedded" in form


class TestNeedsYou:
    def test_a_vm_that_is_not_as_it_was_left_is_listed_with_what_mends_it(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.RUNNING, heard_at=timezone.now())
        Guest.objects.filter(pk=machine.guest_id).update(drift=["VM 7 is locked: qm unlock 7"])

        page = browser("alice").get("/").content.decode()
        listed = page[page.index('id="needs"') : page.index('id="tiles"')]

        assert "qm unlock 7" in listed
        assert "Silent" not in listed

    def test_work_that_waits_for_an_operator_is_listed_with_what_to_do(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.RUNNING, heard_at=timezone.now())
        rows.stuck(machine, "checkpoint")

        assert "run: qm unlock 8" in browser("alice").get("/").content.decode()

    def test_it_lists_what_failed_what_has_no_budget_and_what_is_silent(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        failed = rows.machine(project, genesis, State.FAILED, sentence="The disk was full.")
        broke = rows.machine(project, genesis, State.PAUSED, paused_for="budget", sentence="Nothing is left.")
        silent = rows.machine(project, genesis, heard_at=timezone.now() - timedelta(minutes=5))
        fine = rows.machine(project, genesis)

        page = browser("alice").get("/").content.decode()

        assert 'data-problems="3"' in page
        for machine in (failed, broke, silent):
            assert f'id="needs-{machine.handle}"' in page
        assert f'id="needs-{fine.handle}"' not in page
        assert "The disk was full." in page

    def test_what_others_ask_for_is_listed_for_those_who_decide(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        rows.machine(project, genesis)
        asked = requests.ask_for(rows.budget(project), 2_500_000, by=people["bob"], reason="Long tests")
        shop = projects.create(slug="shop", by=people["charlie"])
        offered = transfers.propose(shop, project, "money", 1_000_000, by=people["charlie"])

        owner, viewer, other = (browser(who).get("/").content.decode() for who in ("alice", "bob", "charlie"))

        assert 'data-problems="2"' in owner
        assert f'id="needs-request-{asked.pk}"' in owner
        assert f'id="needs-transfer-{offered.pk}"' in owner
        assert "Long tests" in owner
        assert "needs-request" not in viewer + other
        assert "needs-transfer" not in viewer + other

    def test_it_lets_old_failures_be(self, browser: Browser, project: Project, genesis: Checkpoint) -> None:
        rows.machine(project, genesis, State.FAILED, ended_at=timezone.now() - timedelta(days=2))

        assert 'id="needs"' not in browser("alice").get("/").content.decode()

    def test_a_person_who_paused_a_machine_is_not_told_so(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis, State.PAUSED, paused_for="person")

        assert 'id="needs"' not in browser("alice").get("/").content.decode()


class TestMoney:
    def test_it_adds_up_the_budgets_that_are_visible(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        rows.machine(project, genesis)
        rows.budget(project, 20_000_000, spent_micros=3_000_000, reserved_micros=500_000)
        rows.budget(projects.create(slug="secret", by=people["charlie"]), 999_000_000)

        page = browser("alice").get("/").content.decode()

        assert "$16.50" in page
        assert "of" in page
        assert "$20.00" in page

    def test_it_says_that_nothing_can_be_spent_without_a_budget(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)

        assert "bin/autovibe budget set" in browser("alice").get("/").content.decode()


class TestTheFragment:
    def test_it_is_the_inside_of_the_page(self, browser: Browser, machine: Machine) -> None:
        response = browser("alice").get("/", headers={"HX-Request": "true"})

        assert b"<html" not in response.content
        assert b'id="tiles"' in response.content
        assert "HX-Request" in response["Vary"]
