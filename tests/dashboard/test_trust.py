"""The checkpoint page beside its files: whether it can be returned to, what that costs, and what people say of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Effect, Verification
from checkpoints.states import Depth, State, Verdict
from guests.models import Guest
from machines.models import Machine
from operations.models import Operation
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


def page_of(browser: Browser, checkpoint: Checkpoint, who: str = "alice") -> str:
    return browser(who).get(f"/checkpoints/{checkpoint.handle}/").content.decode()


def post(browser: Browser, checkpoint: Checkpoint, what: str, who: str = "alice", **values: str) -> str:
    """The page that follows, with what it says."""
    return (
        browser(who).post(f"/checkpoints/{checkpoint.handle}/{what}/", values, follow=True).content.decode()
    )


def change(checkpoint: Checkpoint, **values: object) -> None:
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**values)


class TestWhetherItCanBeReturnedTo:
    def test_one_that_nobody_tried_says_so(self, browser: Browser, checkpoint: Checkpoint) -> None:
        page = page_of(browser, checkpoint)

        assert "Never proven restorable." in page
        assert f"/checkpoints/{checkpoint.handle}/verify/" in page

    def test_one_that_was_proven_says_when_how_deep_and_by_what(
        self, browser: Browser, checkpoint: Checkpoint
    ) -> None:
        change(checkpoint, proven_at=timezone.now() - timedelta(hours=3), proven_depth=Depth.CONTENT)
        for depth, verdict, sentence in (
            (Depth.METADATA, Verdict.PASSED, "Its row agrees."),
            (Depth.CONTENT, Verdict.PASSED, "All 7 files are as they were."),
            (Depth.BOOT, Verdict.ABANDONED, "There was no room for it."),
        ):
            Verification.objects.create(
                checkpoint=checkpoint, depth=depth, verdict=verdict, sentence=sentence
            )

        page = page_of(browser, checkpoint)

        claimed = page[page.index("Last proven restorable") :]
        assert "3 h ago" in claimed[:200]
        assert "every file was hashed again in a scratch guest" in claimed
        assert claimed.index("All 7 files are as they were.") < claimed.index("3 verifications")
        assert "There was no room for it." in claimed

    @pytest.mark.parametrize("state", [State.BROKEN, State.PRUNED])
    def test_what_is_gone_offers_nothing(
        self, state: State, browser: Browser, checkpoint: Checkpoint
    ) -> None:
        change(checkpoint, state=state, error="The storage was full.")

        page = page_of(browser, checkpoint)

        assert "<strong>No.</strong>" in page
        assert "The storage was full." in page
        assert "/verify/" not in page
        assert "If " + checkpoint.handle.partition(".")[0] + " went back" not in page

    def test_a_backup_makes_it_durable(self, browser: Browser, checkpoint: Checkpoint, settings) -> None:
        settings.PROXMOX_BACKUP_STORAGE = "backup"
        offered = page_of(browser, checkpoint)
        change(checkpoint, backup="backup:vm/1", backup_bytes=3_000_000, durable_at=timezone.now())

        page = page_of(browser, checkpoint)

        assert "Not durable:" in offered
        assert f"/checkpoints/{checkpoint.handle}/export/" in offered
        assert "a backup of 3.0 MB outlives its guest" in page
        assert "/export/" not in page

    def test_one_that_shares_its_state_says_whose(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        later = rows.checkpoint(machine, {"hello.py": "print('hello')\n"}, shares=checkpoint)

        assert f">{checkpoint.handle}</a>: nothing had changed since" in page_of(browser, later)
        assert "Shared by" in page_of(browser, checkpoint)


class TestGoingBack:
    def test_it_says_what_is_lost_what_is_not_undone_and_where_it_falls_back_to(
        self, browser: Browser, project: Project, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        change(checkpoint, call_number=2, spent_micros=12_300)
        rows.checkpoint(machine, {}, call_number=3, spent_micros=512_300)
        for tool, number, summary in (("a", 2, "git push early"), ("b", 3, "git push late")):
            Effect.objects.create(
                project=project, origin=machine.subject, tool_use=tool, call_number=number,
                kind=Effect.Kind.PUSH, summary=summary,
            )  # fmt: skip

        page = page_of(browser, checkpoint)

        assert "$0.5000" in page
        assert "git push late" in page
        assert "git push early" not in page
        assert f"{machine.handle}.c1, which is" in page

    def test_the_question_before_it_says_the_same(
        self, browser: Browser, project: Project, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        Effect.objects.create(
            project=project, origin=machine.subject, tool_use="a", call_number=9,
            kind=Effect.Kind.PULL_REQUEST, summary="gh pr create",
        )  # fmt: skip

        asked = browser("alice").get(f"/machines/{machine.handle}/rollback/?to={checkpoint.handle}")

        said = asked.content.decode()
        assert "gh pr create" in said
        assert f"If it cannot be restored, {machine.handle}.c1, which is" in said

    def test_a_machine_that_went_another_way_loses_no_known_sum(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        Machine.objects.filter(pk=machine.pk).update(present=checkpoint.parent)

        assert "It has gone another way since" in page_of(browser, checkpoint)


class TestMarks:
    def test_a_pin_is_set_said_and_taken_back(self, browser: Browser, checkpoint: Checkpoint) -> None:
        page = post(browser, checkpoint, "mark", pinned="1")
        checkpoint.refresh_from_db()
        pinned = checkpoint.pinned
        back = post(browser, checkpoint, "mark", pinned="0")

        assert pinned
        assert "is pinned: it is kept" in page
        assert '<input type="hidden" name="pinned" value="0">' in page[page.index("toast") :]  # Undo
        assert "is not pinned any more" in back

    def test_name_and_note_are_set_together_and_undo_knows_what_they_were(
        self, browser: Browser, checkpoint: Checkpoint
    ) -> None:
        change(checkpoint, name="Old", note="before\nthat")

        page = post(browser, checkpoint, "mark", name="Green tests", note="")

        checkpoint.refresh_from_db()
        assert (checkpoint.name, checkpoint.note) == ("Green tests", "")
        toast = page[page.index('id="toasts"') :]
        assert 'name="name" value="Old"' in toast
        assert 'name="note" value="before\nthat"' in toast
        assert "Undo" in toast

    def test_what_is_no_name_is_refused_with_the_reason(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        assert "looks like the handle" in post(browser, checkpoint, "mark", name="m1.c1")

    def test_a_script_is_answered_with_nothing_or_with_the_reason(
        self, browser: Browser, checkpoint: Checkpoint
    ) -> None:
        where, asks = f"/checkpoints/{checkpoint.handle}/mark/", {"HX-Request": "true"}
        done = browser("alice").post(where, {"pinned": "1"}, headers=asks)
        change(checkpoint, state=State.PRUNED, pinned=False)
        refused = browser("alice").post(where, {"pinned": "1"}, headers=asks)

        assert done.status_code == 204
        assert refused.status_code == 409
        assert "was pruned" in refused.content.decode()

    def test_it_goes_on_where_it_was_asked_from_and_nowhere_else(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        where = f"/checkpoints/{checkpoint.handle}/mark/"
        then = f"/machines/{machine.handle}/?at=1"
        at_home = browser("alice").post(where, {"pinned": "1", "next": then})
        elsewhere = browser("alice").post(where, {"pinned": "0", "next": "https://example.org/"})

        assert at_home.headers["Location"] == then
        assert elsewhere.headers["Location"] == f"/checkpoints/{checkpoint.handle}/"

    def test_who_may_only_look_reads_them(self, browser: Browser, checkpoint: Checkpoint) -> None:
        change(checkpoint, name="Green tests", note="Keep it.")

        page = page_of(browser, checkpoint, "bob")

        assert "Keep it." in page
        assert "<textarea" not in page
        assert "/mark/" not in page


class TestAsking:
    def test_a_verification_begins_as_deep_as_was_chosen(
        self, browser: Browser, checkpoint: Checkpoint
    ) -> None:
        asked = browser("alice").get(f"/checkpoints/{checkpoint.handle}/verify/").content.decode()
        page = post(browser, checkpoint, "verify", depth="boot")

        assert all(word in asked for word in ("Metadata", "Content", "Boot drill"))
        assert Verification.objects.get(checkpoint=checkpoint).depth == Depth.BOOT
        assert "is being verified. What was found is told here." in page
        assert "It is being verified now." in page

    def test_a_second_one_at_a_time_is_refused(self, browser: Browser, checkpoint: Checkpoint) -> None:
        post(browser, checkpoint, "verify", depth="metadata")

        assert "is being verified already" in post(browser, checkpoint, "verify", depth="metadata")

    def test_an_export_without_a_storage_says_what_to_do(
        self, browser: Browser, checkpoint: Checkpoint, settings
    ) -> None:
        settings.PROXMOX_BACKUP_STORAGE = ""

        assert "An operator sets PROXMOX_BACKUP_STORAGE" in post(browser, checkpoint, "export")

    def test_an_export_is_begun_and_not_offered_again(
        self, browser: Browser, checkpoint: Checkpoint, settings
    ) -> None:
        settings.PROXMOX_BACKUP_STORAGE = "backup"

        page = post(browser, checkpoint, "export")

        assert Operation.objects.filter(verb="export").exists()
        assert "It is being written to the backup storage now." in page
        assert "Export now" not in page

    def test_a_file_is_put_back_into_the_machine_that_was_chosen(
        self,
        browser: Browser,
        project: Project,
        genesis: Checkpoint,
        machine: Machine,
        checkpoint: Checkpoint,
    ) -> None:
        other = rows.machine(project, genesis)
        asked = browser("alice").get(f"/checkpoints/{checkpoint.handle}/restore-file/?path=hello.py")
        post(browser, checkpoint, "restore-file", machine=other.handle, path="hello.py")

        said = asked.content.decode()
        assert said.index(f'value="{machine.handle}"') < said.index(f'value="{other.handle}"')
        operation = Operation.objects.get(verb="restore_file")
        assert (operation.subject, operation.arguments["path"]) == (other.subject, "hello.py")

    def test_a_file_that_it_has_not_is_refused(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        page = post(browser, checkpoint, "restore-file", machine=machine.handle, path="nope.py")

        assert "nope.py" in page
        assert not Operation.objects.filter(verb="restore_file").exists()

    def test_without_a_machine_to_take_it_none_is_offered(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        Machine.objects.update(state="terminated")

        asked = browser("alice").get(f"/checkpoints/{checkpoint.handle}/restore-file/?path=hello.py")

        assert "is running or paused" in asked.content.decode()


class TestComparing:
    @pytest.fixture
    def branch(self, project: Project, machine: Machine) -> Machine:
        first = Checkpoint.objects.of(machine.subject).first()
        made = rows.machine(project, first)  # type: ignore[arg-type]
        rows.checkpoint(made, {"hello.py": "print('hullo')\n", "new.py": "1\n"}, spent_micros=40_000)
        return made

    def test_two_branches_are_compared_from_where_they_parted(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint, branch: Machine
    ) -> None:
        where = f"/checkpoints/{checkpoint.handle}/compare/?with={branch.handle}.c1"

        page = browser("bob").get(where).content.decode()

        assert f"/checkpoints/{machine.handle}.c1/" in page
        assert "1 differently on both" in page
        assert "1 only there" in page
        assert "$0.0400" in page

    def test_those_without_a_common_ancestor_say_so(
        self, browser: Browser, checkpoint: Checkpoint, branch: Machine
    ) -> None:
        assert branch.present
        change(branch.present, parent=None)

        page = browser("bob").get(f"/checkpoints/{checkpoint.handle}/compare/?with={branch.present.handle}")

        assert "no ancestor in common" in page.content.decode()

    def test_the_page_suggests_where_others_are(
        self, browser: Browser, checkpoint: Checkpoint, branch: Machine
    ) -> None:
        assert f'<option value="{branch.handle}.c1">' in page_of(browser, checkpoint, "bob")


def test_many_of_everything_take_no_more_queries(
    browser: Browser, machine: Machine, checkpoint: Checkpoint, django_assert_max_num_queries
) -> None:
    for number in range(12):
        Verification.objects.create(checkpoint=checkpoint, depth=Depth.METADATA, verdict=Verdict.PASSED)
        rows.checkpoint(machine, {f"{number}.py": "1\n"})
        rows.checkpoint(machine, shares=checkpoint)
        Effect.objects.create(
            project=machine.project, origin=machine.subject, tool_use=str(number), call_number=number,
            kind=Effect.Kind.PUSH, summary="git push",
        )  # fmt: skip
    Guest.objects.filter(pk=machine.guest_id).update(disk_bytes=10**9)
    client = browser("alice")
    client.get(f"/checkpoints/{checkpoint.handle}/")
    with django_assert_max_num_queries(50):
        client.get(f"/checkpoints/{checkpoint.handle}/")
