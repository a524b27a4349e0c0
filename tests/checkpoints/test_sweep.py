"""Sweeping: contents that no checkpoint has any more go, and none that a capture comes to use."""

import threading

import pytest
from django.db import connection

from checkpoints.contents import garbage
from checkpoints.models import Blob, Manifest, ManifestPart
from machines.keeping import pruning as retention
from machines.models import Machine
from tests.checkpoints.kept import manifest_of, take, work


class TestContents:
    def test_what_no_checkpoint_has_any_more_is_swept(self, machine: Machine) -> None:
        take(machine, {"a": b"only here", "b": b"both"})
        kept = take(machine, {"b": b"both", "c": b"new"})
        retention.prune(machine.project)
        work()

        garbage.sweep_all()

        assert sorted(blob.content for blob in Blob.objects.all()) == [b"both", b"new"]
        assert (Manifest.objects.count(), ManifestPart.objects.count()) == (1, len(kept.manifest.parts))

    def test_what_a_capture_has_come_to_use_since_it_was_found_stays(self, machine: Machine) -> None:
        """Between the look and the deletion, a checkpoint is captured that has the same files."""
        listed = manifest_of({"a": b"unused", "b": b"so far"})
        for part in ManifestPart.objects.all():
            part.delete()
        listed.delete()
        before = dict(Blob.objects.values_list("pk", "size"))

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text")
            (since,) = cursor.fetchone()
        take(machine, {"a": b"unused"})
        dropped = garbage._drop(garbage._DROP_CONTENTS, {"found": list(before), "since": since})

        assert dropped == 1
        assert Blob.objects.get().content == b"unused"

    @pytest.mark.django_db(transaction=True)
    def test_nothing_is_swept_while_a_capture_is_at_work(self, machine: Machine) -> None:
        manifest_of({"a": b"about to be used"})
        swept: list[int] = []

        def sweep() -> None:
            swept.append(garbage.sweep())
            connection.close()

        with garbage.captures_at_work():
            thread = threading.Thread(target=sweep)
            thread.start()
            thread.join()

        assert swept == [0]
        assert garbage.sweep() == 3  # the list, its one part, and the content
