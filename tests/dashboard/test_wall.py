"""A screen on a wall: what its address shows and to whom, what it keeps to itself, and what it costs."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string

from checkpoints.models import Checkpoint
from dashboard import screens
from dashboard.models import Screen
from dashboard.screens import Wanted
from dashboard.wall import BLOCKS
from dashboard.wall.counts import Sum
from dashboard.wall.hexagons import ASPECT
from events import actions as events
from guests.models import Guest, Node
from machines.models import Machine
from machines.states import State
from operations import processes
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard import rows


def hung(by: User, *shown: Project, **more: Any) -> str:
    """The address of a new screen."""
    values = {"views": [[*BLOCKS]], "every_project": False, "projects": shown, **more}
    return f"/wall/{screens.make(Wanted(name='Lobby', **values), by=by)[1]}/"


def text(url: str) -> str:
    return Client().get(url).content.decode()


class TestItsAddress:
    def test_it_shows_the_screen_to_whoever_has_it_and_asks_nobody_to_sign_in(
        self, alice: User, project: Project, machine: Machine
    ) -> None:
        answer = Client().get(hung(alice, project))

        page = answer.content.decode()
        assert answer.status_code == 200
        assert "Lobby" in page
        assert "sign-in" not in page
        assert "<form" not in page
        assert "<a " not in page

    def test_it_is_kept_from_caches_other_servers_and_search_engines(
        self, alice: User, project: Project
    ) -> None:
        answer = Client().get(hung(alice, project))

        assert "no-store" in answer["Cache-Control"]
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer["X-Robots-Tag"]
        assert "screen-wake-lock=(self)" in answer["Permissions-Policy"]

    def test_one_that_was_never_given_out_says_so_calmly(self, db: None) -> None:
        answer = Client().get("/wall/nonsense/")

        assert answer.status_code == 404
        assert "This screen has nothing to show" in answer.content.decode()
        assert "no-store" in answer["Cache-Control"]

    def test_one_that_was_revoked_shows_nothing_from_then_on(self, alice: User, project: Project) -> None:
        url = hung(alice, project)
        screens.revoke(Screen.objects.get(), by=alice)

        answer = Client().get(url, headers={"HX-Request": "true"})

        assert answer.status_code == 404
        assert 'data-wall="gone"' in answer.content.decode()
        assert "Lobby" not in answer.content.decode()

    def test_its_script_gets_the_screen_without_the_page_around_it(
        self, alice: User, project: Project
    ) -> None:
        page = Client().get(hung(alice, project), headers={"HX-Request": "true"}).content.decode()

        assert page.strip().startswith('<main class="wall"')
        assert "<html" not in page

    def test_it_opens_nothing_else(self, alice: User, project: Project, machine: Machine) -> None:
        client = Client()
        client.get(hung(alice, project))

        assert client.get("/")["Location"].startswith("/sign-in/")
        assert client.get(f"/machines/{machine.handle}/")["Location"].startswith("/sign-in/")
        assert client.get("/api/v1/machines/").status_code == 401

    def test_looking_is_noted_once_a_minute(self, alice: User, project: Project) -> None:
        url = hung(alice, project)
        Client().get(url)
        first = Screen.objects.get().last_seen_at
        Client().get(url)

        assert first is not None
        assert Screen.objects.get().last_seen_at == first
        assert Screen.objects.get().last_seen_ip == "127.0.0.1"

    def test_an_error_is_logged_without_it(self, settings: Any) -> None:
        (name,) = settings.LOGGING["handlers"]["console"]["filters"]
        kept_out = import_string(settings.LOGGING["filters"][name]["()"])()
        record = logging.makeLogRecord({"msg": "%s: %s", "args": ("Internal Server Error", "/wall/abc_D-9/")})

        assert kept_out.filter(record)
        assert record.getMessage() == "Internal Server Error: /wall/…/"


class TestWhatItShows:
    def test_it_counts_what_runs_waits_and_failed(
        self, alice: User, project: Project, genesis: Checkpoint
    ) -> None:
        rows.budget(project)
        for state in (State.RUNNING, State.RUNNING, State.FAILED, State.TERMINATED):
            rows.call(rows.machine(project, genesis, state), cost_micros=1_000_000)

        shown = Client().get(hung(alice, project)).context["views"][0].strips[0].data

        assert (shown.total, shown.running, shown.waiting, shown.failed) == (4, 2, 1, 1)
        assert [one.short for one in shown.spent] == ["$4.00"]

    @pytest.mark.parametrize(
        ("micros", "said"),
        [
            (0, "$0.00"),
            (41_209_000, "$41.21"),
            (99_600_000, "$100"),
            (412_490_000, "$412"),
            (412_990_000, "$413"),
            (9_999_700_000, "$10.0k"),
            (12_345_000_000, "$12.3k"),
        ],
    )
    def test_its_sums_fit_a_wall(self, micros: int, said: str) -> None:
        assert Sum(micros, "USD").short == said

    def test_it_shows_its_own_projects_only(
        self, alice: User, people: dict[str, User], project: Project, genesis: Checkpoint
    ) -> None:
        other = projects.create(slug="secret", by=alice)
        hidden = rows.machine(other, genesis, State.FAILED)
        events.record("machine.failed", subject=hidden.subject, project_id=other.pk, handle=hidden.handle)
        rows.budget(other)

        page = text(hung(alice, project))

        assert hidden.handle not in page
        assert "secret" not in page

    def test_it_shows_no_more_than_its_maker_may_see_now(
        self, alice: User, project: Project, machine: Machine
    ) -> None:
        root = User.objects.create_superuser("root")
        url = hung(root, every_project=True)
        assert Client().get(url).context["projects"] == [project]

        User.objects.filter(pk=root.pk).update(is_active=False)

        assert Client().get(url).context["projects"] == []

    def test_it_names_no_people(self, alice: User, project: Project, machine: Machine) -> None:
        events.record(
            "machine.paused",
            subject=machine.subject,
            project_id=project.pk,
            by="alice",
            handle=machine.handle,
        )

        page = text(hung(alice, project))

        assert f"{machine.handle} is paused" in page
        assert "alice" not in page

    @pytest.mark.parametrize("shows", [False, True])
    def test_it_shows_prompts_only_where_that_was_asked_for(
        self, shows: bool, alice: User, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.FAILED, prompt="Steal the crown jewels")
        events.record("machine.failed", subject=machine.subject, project_id=project.pk, handle=machine.handle)

        page = text(hung(alice, project, shows_prompts=shows))

        assert page.count("Steal the crown jewels") == (2 if shows else 0)

    def test_a_hub_that_is_gone_is_said_on_every_view(
        self, alice: User, project: Project, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = hung(alice, project, views=[["clock"]])
        assert "The worker and the hub of autovibe do not run" in text(url)

        monkeypatch.setattr(processes, "alive", lambda: {"worker", "hub"})
        assert "do not run" not in text(url)

        Guest.objects.update(observed_at=timezone.now() - timedelta(minutes=2))
        assert "The cluster does not answer" in text(url)

    def test_a_screen_of_nothing_is_no_blank_panel(self, alice: User, project: Project) -> None:
        page = text(hung(alice, project))

        for sentence in (
            "No machine is there now.",
            "Nobody is needed.",
            "No limit is set.",
            "Nothing has happened yet.",
            "No node was seen yet.",
        ):
            assert sentence in page

    def test_its_chart_says_what_it_finds(self, alice: User, project: Project, machine: Machine) -> None:
        rows.call(machine, cost_micros=5_000_000)

        page = text(hung(alice, project, views=[["burn"]]))

        assert "$5.01 this hour, $5.01 in 24 hours." in page
        assert "<caption>Money by hour</caption>" in page

    def test_blocks_of_an_earlier_version_are_left_out(self, alice: User, project: Project) -> None:
        url = hung(alice, project)
        Screen.objects.update(views=[["weather"], ["clock", "weather"]])

        assert len(Client().get(url).context["views"]) == 1


class TestManyMachines:
    @pytest.fixture
    def crowd(self, project: Project, genesis: Checkpoint) -> None:
        rows.budget(project)
        Node.objects.bulk_create(Node(name=f"pve{number}") for number in range(4))
        made = [rows.machine(project, genesis) for _ in range(60)]
        for number, machine in enumerate(made):
            Guest.objects.filter(pk=machine.guest_id).update(node=f"pve{number % 4}")

    def test_the_map_fills_the_room_that_it_has(self, alice: User, project: Project, crowd: None) -> None:
        drawing = Client().get(hung(alice, project, views=[["map"]])).context["views"][0].wide[0].data

        assert sum(len(cluster.cells) for cluster in drawing.clusters) == 60
        assert 0.5 < drawing.width / drawing.height / ASPECT < 2

    def test_beyond_what_can_be_told_apart_it_draws_bars(
        self, alice: User, project: Project, crowd: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dashboard.fleet.picture.HEXAGONS_MAX", 50)

        drawing = Client().get(hung(alice, project, views=[["map"]])).context["views"][0].wide[0].data

        assert [bar.place.total for bar in drawing.bars] == [15, 15, 15, 15]
        assert drawing.clusters == []

    @pytest.mark.parametrize("drawn", [400, 50])
    def test_all_of_it_costs_at_most_fifteen_queries(
        self,
        drawn: int,
        alice: User,
        project: Project,
        crowd: None,
        django_assert_max_num_queries: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("dashboard.fleet.picture.HEXAGONS_MAX", drawn)
        url = hung(alice, project, shows_prompts=True)
        Client().get(url)

        with django_assert_max_num_queries(15):
            Client().get(url)
