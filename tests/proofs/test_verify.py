"""Proving that checkpoints can be returned to, on real nodes with each kind of storage."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, State, Verdict
from checkpoints.trust import proofs
from events.models import Event
from guests.models import Guest
from machines import actions
from machines.models import Machine
from machines.work import inside, verify
from machines.work.proof import load
from operations.models import Operation, Status
from projects.errors import Conflict
from proxmox.connect import driver
from tests.proofs.conftest import carry_to, fresh, operation_of, run

Spawned = Callable[..., Machine]
Taken = Callable[[Machine], Checkpoint]
Verified = Callable[..., Verification]
Carry = Callable[..., Operation]


class TestSoundCheckpoint:
    def test_it_passes_at_every_depth_and_the_evidence_says_what_was_read(self, spawned, taken, verified):
        checkpoint = taken(spawned())

        for depth in Depth:
            verification = verified(checkpoint, depth)

            assert verification.verdict == Verdict.PASSED, verification.sentence
            standing = "captured" if depth == Depth.METADATA else "verified"
            assert (fresh(checkpoint).proven_depth, fresh(checkpoint).standing) == (depth, standing)

        assert "Not tried" not in verification.sentence
        evidence = verification.evidence
        assert evidence["content"]["files"] == 5 + 1  # of the workspace, and the conversation
        assert evidence["content"]["bytes"] > 300_000
        assert (evidence["transcripts"]["files"], evidence["transcripts"]["lines"]) == (1, 3)
        told = Event.objects.filter(kind="checkpoint.verified", subject=checkpoint.subject)
        assert [one.data["depth"] for one in told.order_by("pk")] == list(Depth)

    def test_its_scratch_guest_has_no_network_and_its_machine_is_not_held_up(
        self, spawned, taken, alice, carry
    ):
        machine = spawned()
        verification = actions.verify(taken(machine), Depth.CONTENT, by=alice)
        operation = carry_to(verification, "clone")

        assert taken(machine).state == State.CAPTURED

        carry_to(verification, "start")
        vm = Guest.objects.get(pk=verification.scratch_id).vm
        assert not [key for key in driver().config(vm) if key.startswith("net")]
        carry(operation)

    def test_one_that_shares_a_snapshot_is_proven_with_its_own_conversation(self, spawned, alike, verified):
        machine = spawned()
        holder, sharer = alike(machine)
        assert sharer.shares == holder

        verification = verified(sharer, "boot")

        assert (verification.verdict, verification.evidence["transcripts"]["lines"]) == (Verdict.PASSED, 4)
        assert [fresh(one).proven_depth for one in (holder, sharer)] == ["content", "boot"]

    def test_when_only_its_own_conversation_is_bad_the_other_is_as_good_as_before(
        self, spawned, alike, verified
    ):
        holder, sharer = alike(spawned(), says="no JSON")

        verification = verified(sharer, "boot")

        assert (verification.verdict, fresh(sharer).state) == (Verdict.FAILED, State.BROKEN)
        assert fresh(holder).state == State.CAPTURED


class TestBadCheckpoint:
    def test_one_whose_snapshot_is_gone_is_broken(self, spawned, taken, verified):
        checkpoint = taken(spawned())
        Checkpoint.objects.filter(pk=checkpoint.pk).update(snapshot="nothing")

        verification = verified(checkpoint, "metadata")

        assert verification.verdict == Verdict.FAILED
        assert "has no snapshot nothing" in fresh(checkpoint).error
        assert fresh(checkpoint).state == State.BROKEN
        assert Event.objects.filter(kind="checkpoint.proof_failed", subject=checkpoint.subject).exists()

    def test_one_whose_snapshot_is_another_ones_is_broken(self, spawned, taken, verified):
        machine = spawned()
        first, second = taken(machine), taken(machine)
        Checkpoint.objects.filter(pk=second.pk).update(snapshot=first.snapshot)

        assert verified(second, "metadata").verdict == Verdict.FAILED
        assert fresh(first).state == State.CAPTURED

    def test_what_shares_a_bad_snapshot_is_broken_with_it(self, spawned, taken, verified):
        machine = spawned()
        holder, sharer, other = taken(machine), taken(machine), taken(machine)
        share(sharer, holder)
        Checkpoint.objects.filter(pk__in=[holder.pk, sharer.pk]).update(snapshot="nothing")

        verified(sharer, "metadata")

        assert [fresh(one).state for one in (holder, sharer, other)] == ["broken", "broken", "captured"]

    def test_a_conversation_that_cannot_be_read_breaks_it(self, spawned, taken, verified):
        machine = spawned()
        run(machine, 'echo "no JSON" >> "${GUEST_ROOT:-}/var/lib/talker/log.jsonl"')
        checkpoint = taken(machine)

        assert verified(checkpoint, "content").verdict == Verdict.PASSED
        verification = verified(checkpoint, "boot")

        assert verification.verdict == Verdict.FAILED
        assert "log.jsonl, line 4" in verification.sentence

    def test_a_last_line_that_is_cut_off_is_told_and_no_fault(self, spawned, taken, verified):
        machine = spawned()
        run(machine, """printf '{"said": ' >> "${GUEST_ROOT:-}/var/lib/talker/log.jsonl" """)

        verification = verified(taken(machine), "boot")

        assert verification.verdict == Verdict.PASSED
        assert verification.evidence["transcripts"]["cut"] == ["/var/lib/talker/log.jsonl"]

    def test_a_probe_that_fails_breaks_it_if_that_probe_ever_succeeded(self, spawned, taken, verified):
        machine = spawned()
        good = taken(machine)
        run(machine, 'rm "${GUEST_ROOT:-}/var/lib/talker/log.jsonl"')
        bad = taken(machine)

        first, _, second = verified(bad, "boot"), verified(good, "boot"), verified(bad, "boot")

        assert (first.verdict, second.verdict) == (Verdict.ABANDONED, Verdict.FAILED)
        assert not inside._has_passed(
            "talker", second.evidence["probe_sha256"], uuid4()
        )  # in another project
        assert "The probe of Talker failed" in second.sentence
        assert fresh(bad).state == State.BROKEN

    def test_a_guest_that_stays_silent_is_believed_bad_the_second_time(
        self, spawned, taken, verified, fault, monkeypatch
    ):
        checkpoint = taken(spawned())
        monkeypatch.setattr(verify, "SILENT_AFTER", timedelta(seconds=0.2))
        for expected, state in ((Verdict.ABANDONED, "captured"), (Verdict.FAILED, "broken")):
            fault(match="POST */agent/ping", action="fail", status=500, times=0,
                  reason="QEMU guest agent is not running")  # fmt: skip

            verification = verified(checkpoint, "content")

            assert (verification.verdict, fresh(checkpoint).state) == (expected, state)
            assert "did not answer" in verification.sentence

    def test_silence_of_its_backup_says_nothing_of_its_snapshot(self, spawned, taken, alice):
        checkpoint = taken(spawned())
        for of in (proofs.BACKUP, "snapshot"):
            verification = actions.verify(checkpoint, Depth.BOOT, by=alice)
            Verification.objects.filter(pk=verification.pk).update(evidence={"of": of, "silent": True})

            verify._settled(load(operation_of(verification)))

            verification.refresh_from_db()
            assert (verification.verdict, fresh(checkpoint).state) == (Verdict.ABANDONED, State.CAPTURED)
            assert ("counts as broken" in verification.sentence) == (of == "snapshot")


class TestClaim:
    def test_a_shallower_proof_does_not_take_the_place_of_a_deeper_one(self, spawned, taken, verified):
        checkpoint = taken(spawned())
        verified(checkpoint, "content")
        before = fresh(checkpoint).proven_at

        verified(checkpoint, "metadata")

        assert (fresh(checkpoint).proven_depth, fresh(checkpoint).proven_at) == ("content", before)

    def test_it_does_when_the_deeper_one_is_old(self, spawned, taken, verified, settings):
        checkpoint = taken(spawned())
        verified(checkpoint, "content")
        long_ago = timezone.now() - timedelta(days=settings.CHECKPOINT_PROOF_DAYS + 1)
        Checkpoint.objects.filter(pk=checkpoint.pk).update(proven_at=long_ago)

        verified(checkpoint, "metadata")

        assert fresh(checkpoint).proven_depth == "metadata"

    def test_what_shares_its_snapshot_is_proven_with_it_as_far_as_its_rows_are_sound(
        self, spawned, taken, verified
    ):
        machine = spawned()
        holder, sound, unsound = taken(machine), taken(machine), taken(machine)
        for one in (sound, unsound):
            share(one, holder)
        run(machine, 'echo 2 > "${GUEST_ROOT:-}/workspace/src/main.py"')
        later = taken(machine)
        Checkpoint.objects.filter(pk=unsound.pk).update(manifest=later.manifest)

        verified(holder, "boot")

        proven = [fresh(one).proven_depth for one in (holder, sound, unsound)]
        assert proven == ["boot", "content", ""]

    def test_nothing_is_claimed_of_what_was_given_up_meanwhile(self, spawned, taken, alice, carry):
        checkpoint = taken(spawned())
        verification = actions.verify(checkpoint, Depth.CONTENT, by=alice)
        carry_to(verification, "clone")
        Checkpoint.objects.filter(pk=checkpoint.pk).update(state=State.PRUNING)

        carry(operation_of(verification))

        verification.refresh_from_db()
        assert (verification.verdict, fresh(checkpoint).proven_depth) == (Verdict.ABANDONED, "")


class TestAsking:
    def test_a_second_one_meanwhile_is_refused(self, spawned, taken, alice):
        checkpoint = taken(spawned())
        actions.verify(checkpoint, Depth.METADATA, by=alice)

        with pytest.raises(Conflict, match="being verified already"):
            actions.verify(checkpoint, Depth.BOOT, by=alice)

    def test_the_days_time_for_scratch_guests_is_a_budget(self, spawned, taken, alice, verified, settings):
        checkpoint = taken(spawned())
        verified(checkpoint, "content")
        assert proofs.seconds_used(checkpoint.project) > 0
        settings.CHECKPOINT_PROOF_SECONDS_A_DAY = 0

        with pytest.raises(Conflict, match="all that proofs get"):
            actions.verify(checkpoint, Depth.CONTENT, by=alice)
        assert verified(checkpoint, "metadata").verdict == Verdict.PASSED

    def test_a_template_has_no_list_of_files_and_still_can_be_booted(self, genesis, verified):
        content, boot = verified(genesis, "content"), verified(genesis, "boot")

        assert (content.verdict, boot.verdict) == (Verdict.ABANDONED, Verdict.PASSED)
        assert "Not tried: its agent's conversation, its agent." in boot.sentence
        assert "no list of files" in content.sentence

    def test_others_have_to_wait_for_their_turn(self, spawned, taken, alice, carry, settings):
        machine = spawned()
        settings.CHECKPOINT_PROOFS_AT_ONCE = 1
        first = actions.verify(taken(machine), Depth.CONTENT, by=alice)
        second = actions.verify(taken(machine), Depth.CONTENT, by=alice)

        waiting = carry(operation_of(second), until=(Status.WAITING,))

        assert waiting.step == "turn"
        carry(operation_of(first))
        assert carry(waiting).status == Status.SUCCEEDED

    def test_a_project_may_not_have_more_than_a_few_waiting(self, spawned, taken, alice):
        machine = spawned()
        for _ in range(proofs.WAITING_MAX):
            actions.verify(taken(machine), Depth.CONTENT, by=alice)
        guests, checkpoint = Guest.objects.count(), taken(machine)

        with pytest.raises(Conflict, match="are waiting already"):
            actions.verify(checkpoint, Depth.CONTENT, by=alice)
        assert Guest.objects.count() == guests
        actions.verify(checkpoint, Depth.METADATA, by=alice)

    def test_when_the_days_time_is_used_up_meanwhile_nothing_is_started(
        self, spawned, taken, alice, carry, settings
    ):
        checkpoint = taken(spawned())
        verification = actions.verify(checkpoint, Depth.CONTENT, by=alice)
        settings.CHECKPOINT_PROOF_SECONDS_A_DAY = 0

        carry(operation_of(verification))

        verification.refresh_from_db()
        assert (verification.verdict, verification.seconds) == (Verdict.ABANDONED, 0)
        assert "all that proofs get" in verification.sentence

    def test_one_that_waits_for_an_operator_holds_up_no_other(self, spawned, taken, alice, carry):
        machine = spawned()
        first = actions.verify(taken(machine), Depth.CONTENT, by=alice)
        Operation.objects.filter(pk=operation_of(first).pk).update(status=Status.NEEDS_OPERATOR)

        second = actions.verify(taken(machine), Depth.CONTENT, by=alice)

        assert carry(operation_of(second)).status == Status.SUCCEEDED

    def test_who_may_over_rest(self, api, spawned, taken):
        path = f"/api/v1/checkpoints/{taken(spawned()).handle}"

        for who, asked, listed in (("charlie", 404, 404), ("bob", 403, 200), ("alice", 202, 200)):
            assert api(who).post(f"{path}/verify/", {"depth": "boot"}).status_code == asked
            assert api(who).get(f"{path}/verifications/").status_code == listed
        (one,) = api("alice").get(f"{path}/verifications/").json()["results"]
        assert (one["verdict"], one["depth"], one["of"]) == ("requested", "boot", "snapshot")


class TestOnQcow2:
    @pytest.fixture(scope="class")
    def personality(self) -> str:
        return "qcow2"

    def test_a_machine_that_runs_is_not_held_up_by_a_copy(self, spawned, taken, verified):
        checkpoint = taken(spawned())

        verification = verified(checkpoint)

        assert verification.verdict == Verdict.ABANDONED
        assert "copies the whole disk" in verification.sentence
        assert fresh(checkpoint).state == State.CAPTURED

    def test_once_it_has_ended_all_of_its_checkpoints_can_be_proven(self, spawned, taken, ended, verified):
        machine = spawned()
        early = taken(machine)
        machine = ended(machine)

        assert verified(early).verdict == Verdict.PASSED
        assert verified(machine.present).verdict == Verdict.PASSED


class TestOnZfs:
    @pytest.fixture(scope="class")
    def personality(self) -> str:
        return "zfs"

    def test_what_cannot_be_cloned_is_not_claimed_and_says_why(self, spawned, taken, verified):
        verification = verified(taken(spawned()))

        assert verification.verdict == Verdict.ABANDONED
        assert "cannot clone from a snapshot" in verification.sentence

    def test_the_end_of_a_machine_passes(self, spawned, ended, verified):
        assert verified(ended(spawned()).present).verdict == Verdict.PASSED

    def test_one_with_a_backup_is_proven_from_that(self, spawned, taken, verified, settings):
        settings.PROXMOX_BACKUP_STORAGE = "local"
        checkpoint = taken(spawned())

        verification = verified(checkpoint)

        assert (verification.verdict, verification.evidence["of"]) == (Verdict.PASSED, "backup")


def share(one: Checkpoint, holder: Checkpoint) -> None:
    """As if nothing had changed between them."""
    Checkpoint.objects.filter(pk=one.pk).update(
        shares=holder, snapshot=holder.snapshot, manifest=holder.manifest
    )
