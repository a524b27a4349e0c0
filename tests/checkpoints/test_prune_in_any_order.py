"""Whatever happens in which order, nothing that is kept loses anything."""

from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoints.contents import files, garbage
from checkpoints.models import Checkpoint, Rules
from checkpoints.states import Depth, State
from machines import actions as machines
from machines.keeping import pruning as retention
from machines.models import Machine
from machines.states import State as MachineState
from projects.models import Project, User
from tests.checkpoints.kept import NOTHING, machine_of, over, take, work

words = st.sampled_from([b"a", b"b", b"c", b"d"])
contents = st.dictionaries(st.sampled_from(["x", "y", "z"]), words, min_size=1)
pick = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("take"), pick, contents),
    st.tuples(st.just("take"), pick, contents),
    st.tuples(st.just("branch"), pick),
    st.tuples(st.just("restore"), pick, pick),
    st.tuples(st.just("end"), pick),
    st.tuples(st.just("pin"), pick),
    st.tuples(st.just("prove"), pick),
    st.tuples(st.just("rules"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("prune")),
    st.tuples(st.just("work")),
    st.tuples(st.just("sweep")),
)


class World:
    """A project's machines and checkpoints, and what each should hold, noted plainly."""

    def __init__(self, project: Project, genesis: Checkpoint, alice: User) -> None:
        self.project, self.genesis, self.alice = project, genesis, alice
        self.held: dict[Checkpoint, dict[str, bytes]] = {}
        self.machines = [machine_of(project, genesis, alice, MachineState.RUNNING)]
        self.parents: dict[Checkpoint, Checkpoint | None] = {}

    def take(self, who: int, found: dict[str, bytes]) -> None:
        machine = self._live(who)
        if machine is None:
            return
        machine.refresh_from_db()
        last = machine.present
        same = last and last.usable and self.held.get(last) == found and last.guest_id == machine.guest_id
        more = {"shares": last.holder} if last and same else {}
        checkpoint = take(machine, found, **more)
        self.held[checkpoint], self.parents[checkpoint] = found, checkpoint.parent

    def branch(self, which: int) -> None:
        if source := self._usable(which):
            self.machines.append(machine_of(self.project, source, self.alice, MachineState.RUNNING))

    def restore(self, who: int, which: int) -> None:
        machine, target = self._live(who), self._usable(which)
        if machine and target and target.guest_id == machine.guest_id:
            machine.refresh_from_db()
            machines.rollback(machine, target, by=self.alice)
            kept = Checkpoint.objects.get(pk=Machine.objects.get(pk=machine.pk).present_id)
            kept.move(State.BROKEN, error="It could not be kept.")
            over()
            Machine.objects.filter(pk=machine.pk).update(present=target, state=MachineState.RUNNING)

    def end(self, who: int) -> None:
        if machine := self._live(who):
            Machine.objects.filter(pk=machine.pk).update(
                state=MachineState.TERMINATED, ended_at=timezone.now()
            )

    def pin(self, which: int) -> None:
        self._mark(which, pinned=True)

    def prove(self, which: int) -> None:
        self._mark(which, proven_at=timezone.now(), proven_depth=Depth.CONTENT)

    def rules(self, last: int, milestones: bool) -> None:
        Rules.objects.filter(project=self.project).update(
            retention=NOTHING | {"keep_last": last, "milestones": milestones}
        )

    def prune(self) -> None:
        proven = self._last_proven()
        pinned = set(Checkpoint.objects.filter(pinned=True, state=State.CAPTURED))
        retention.prune(self.project)
        assert self._last_proven() == proven
        assert pinned <= set(Checkpoint.objects.filter(state=State.CAPTURED))

    def work(self) -> None:
        work()

    def sweep(self) -> None:
        garbage.sweep_all()

    def check(self) -> None:
        """Everything that is there holds what it held, is where it was in the tree, and has its holder."""
        for checkpoint in Checkpoint.objects.select_related("manifest", "shares", "parent", "guest"):
            if checkpoint in self.parents:
                assert checkpoint.parent == self.parents[checkpoint]
            if checkpoint.usable and checkpoint in self.held:
                found = self.held[checkpoint]
                assert {entry["path"] for entry in files.entries(checkpoint)} == set(found)
                assert {path: files.content(checkpoint, path) for path in found} == found
                assert checkpoint.holder.state == State.CAPTURED
        for machine in Machine.objects.filter(state=MachineState.RUNNING).select_related("present", "source"):
            assert (machine.present or machine.source).usable
            assert machine.source.usable

    def _live(self, who: int) -> Machine | None:
        live = Machine.objects.filter(state=MachineState.RUNNING).order_by("number")
        found = list(live.select_related("guest", "project", "source", "present"))
        return found[who % len(found)] if found else None

    def _usable(self, which: int) -> Checkpoint | None:
        found = list(Checkpoint.objects.filter(state=State.CAPTURED, pk__in=[one.pk for one in self.held]))
        return sorted(found, key=lambda one: one.created_at)[which % len(found)] if found else None

    def _mark(self, which: int, **marks: object) -> None:
        if checkpoint := self._usable(which):
            Checkpoint.objects.filter(pk=checkpoint.pk).update(**marks)

    def _last_proven(self) -> dict[str, int]:
        proven = Checkpoint.objects.filter(state=State.CAPTURED).exclude(proven_at=None)
        return dict(proven.order_by("number").values_list("origin", "number"))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=8, max_size=25))
def test_in_any_order_of_events_what_is_kept_is_whole(
    frugal: Project, genesis: Checkpoint, alice: User, events: list[tuple]
) -> None:
    with transaction.atomic():
        world = World(frugal, genesis, alice)
        for name, *arguments in events:
            getattr(world, name)(*arguments)
            if name in {"prune", "work", "sweep"}:
                world.check()
        for last in (world.prune, world.work, world.sweep, world.check):
            last()
        transaction.set_rollback(True)
