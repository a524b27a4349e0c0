"""What going back does not undo: since when, of whom, and who may see it."""

import uuid
from collections.abc import Callable

import pytest

from budgets import actions as budgets
from checkpoints.models import Checkpoint, Effect
from checkpoints.states import State
from checkpoints.triggers import effects
from checkpoints.triggers.effects import Seen
from events.models import Event
from guests.models import Guest
from machines import actions
from machines.models import Machine
from machines.states import State as MachineState
from projects.models import Project, User

PUSH = Effect.Kind.PUSH


class Line:
    """One machine's checkpoints and effects, by call."""

    def __init__(self, project: Project, origin: str, handle: str, guest: Guest, parent: Checkpoint) -> None:
        self.project, self.origin, self.handle, self.guest, self.last = project, origin, handle, guest, parent

    def keep(self, number: int, call: int | None) -> Checkpoint:
        self.last = Checkpoint.objects.create(
            project=self.project,
            origin=self.origin,
            number=number,
            handle=f"{self.handle}.c{number}",
            kind=Checkpoint.Kind.AUTOMATIC,
            guest=self.guest,
            why="x",
            parent=self.last,
            call_number=call,
            state=State.CAPTURED,
        )
        return self.last

    def push(self, call: int, what: str) -> None:
        effects.record(self.project.id, self.origin, call, [Seen(f"toolu_{self.origin}_{what}", PUSH, what)])


@pytest.fixture
def line(project: Project, genesis: Checkpoint) -> Callable[..., Line]:
    made = iter(range(1, 100))

    def line(parent: Checkpoint | None = None) -> Line:
        number = next(made)
        guest = Guest.objects.create(project=project, vmid=20_000 + number, node="embedded")
        return Line(project, f"machine:{uuid.uuid4()}", f"m{number}", guest, parent or genesis)

    return line


def told(checkpoint: Checkpoint, until: Checkpoint | None = None) -> list[str]:
    return [one.summary for one in effects.since(checkpoint, until)]


class TestSince:
    def test_what_was_done_by_the_calls_after_it(self, line: Callable[..., Line]) -> None:
        one = line()
        first, second, third = (one.keep(number, number) for number in (1, 2, 3))
        one.push(2, "seen with call 2")
        one.push(3, "seen with call 3")
        assert told(first) == ["seen with call 2", "seen with call 3"]
        assert told(second) == ["seen with call 3"]
        assert told(third) == []

    def test_up_to_another_checkpoint(self, line: Callable[..., Line]) -> None:
        one = line()
        first, second = one.keep(1, 1), one.keep(2, 2)
        one.push(2, "between")
        one.push(3, "after")
        assert told(first, second) == ["between"]

    def test_of_one_taken_for_no_call_by_the_time(self, line: Callable[..., Line]) -> None:
        one = line()
        one.push(1, "before")
        asked = one.keep(1, None)
        one.push(2, "after")
        assert told(asked) == ["after"]

    def test_of_branches_made_from_there_on_too_and_of_no_others(self, line: Callable[..., Line]) -> None:
        trunk = line()
        first, second = trunk.keep(1, 1), trunk.keep(2, 2)
        branch, other = line(second), line()
        twig = line(branch.keep(1, 1))
        twig.keep(1, 1)
        other.keep(1, 1)
        branch.push(1, "of the branch")
        twig.push(1, "of its branch")
        other.push(1, "of another machine")
        assert told(first) == told(second) == ["of the branch", "of its branch"]
        assert told(branch.last) == ["of its branch"]

    def test_of_a_genesis_nothing_is_told(self, line: Callable[..., Line], genesis: Checkpoint) -> None:
        one = line()
        one.keep(1, 1)
        one.push(1, "x")
        assert told(genesis) == []

    def test_seen_again_it_is_the_same(self, line: Callable[..., Line]) -> None:
        one = line()
        first = one.keep(1, 1)
        one.push(2, "x")
        one.push(3, "x")
        assert [(each.call_number, each.summary) for each in effects.since(first)] == [(2, "x")]


class TestOverRest:
    @pytest.fixture
    def left(self, line: Callable[..., Line]) -> Checkpoint:
        one = line()
        first = one.keep(1, 1)
        one.push(2, "git push")
        return first

    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_members_see_them(self, api, left: Checkpoint, who: str, status: int) -> None:
        answer = api(who).get(f"/api/v1/checkpoints/{left.handle}/effects/")
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["more"] == 0
            assert [(one["kind"], one["summary"]) for one in answer.json()["effects"]] == [
                ("push", "git push")
            ]


class TestGoingBack:
    """What is told to those who go back, before and after."""

    @pytest.fixture
    def target(self, api, funded: Project, genesis: Checkpoint, alice: User) -> Checkpoint:
        machine = actions.spawn(project=funded, by=alice, source=genesis, type_name="vibe", prompt="x")
        for state in (MachineState.CLONING, MachineState.PROVISIONING, MachineState.RUNNING):
            machine.move(state)
        target = actions.checkpoint(machine, by=alice)
        target.move(State.CAPTURED)
        effects.record(
            machine.project_id, machine.subject, 1, [Seen("toolu_1", PUSH, "git push origin main")]
        )
        return target

    @pytest.fixture
    def funded(self, project: Project, alice: User) -> Project:
        budgets.set_limit(project, resource="money", limit=10_000_000, by=alice)
        return project

    def test_a_rollback_tells_it_before_and_with_its_answer(self, api, target: Checkpoint) -> None:
        address = f"/api/v1/machines/{target.handle.partition('.')[0]}/rollback/"
        before = api("alice").get(address, {"checkpoint": target.handle})
        begun = api("alice").post(address, {"checkpoint": target.handle}, format="json")
        for answer, status in ((before, 200), (begun, 202)):
            assert answer.status_code == status
            assert [one["summary"] for one in answer.json()["not_undone"]] == ["git push origin main"]
        assert Event.objects.get(kind="machine.restoring").data["not_undone"] == 1

    def test_a_branch_tells_it_with_its_answer(self, api, target: Checkpoint) -> None:
        answer = api("alice").post(
            f"/api/v1/checkpoints/{target.handle}/branch/", {"prompt": "Another way."}, format="json"
        )
        assert answer.status_code == 202
        assert [one["summary"] for one in answer.json()["not_undone"]] == ["git push origin main"]
        assert Machine.objects.get(number=int(answer.json()["handle"][1:])).source == target
