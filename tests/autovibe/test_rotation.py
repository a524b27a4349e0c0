"""`manage.py rotate-secrets`: what is encrypted in the database comes under the newest key, and the old one can go."""

import io
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models
from django.utils import timezone

from autovibe import idempotency, secrets
from autovibe.models import KeptAnswer
from budgets import actions as budgets
from events.models import Event
from gateway import recordings
from gateway import secrets as sealing
from gateway.models import Call, Recording, UpstreamKey
from gateway.upstreams import actions, registry
from machines import actions as machines
from projects.models import User

pytestmark = pytest.mark.django_db

OLD, NEW = "the-old-key-" + "o" * 40, "the-new-key-" + "n" * 40


@pytest.fixture
def kept(settings: Any, alice: User, genesis: Any) -> None:
    """One row of everything, under the old key; and two keys, so that there is more than a batch of one."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    upstream = actions.add(
        by="alice", name="first", base_url="https://api.example.com", dialects=["messages"]
    )
    for label in ("main", "spare"):
        actions.set_key(upstream, label, by="alice", secret=f"sk-{label}")
    Authenticator.objects.create(
        user=alice, type=Authenticator.Type.TOTP, data={"secret": get_adapter().encrypt("JBSWY3DP")}
    )
    Authenticator.objects.create(
        user=alice,
        type=Authenticator.Type.RECOVERY_CODES,
        data={"seed": get_adapter().encrypt("a seed"), "used_mask": 5},
    )
    KeptAnswer.objects.create(digest="d", body_digest="b", sealed=sealing.seal(idempotency.PURPOSE, b"{}"))
    budgets.set_limit(genesis.project, "money", 10_000_000, by=alice)
    machine = machines.spawn(
        project=genesis.project, source=genesis, type_name="shell", prompt="true", by=alice
    )
    now = timezone.now()
    call = Call.objects.create(
        machine=machine, number=1, reservation_id=machine.id, model="m", started_at=now
    )
    Recording.objects.create(
        call=call, mode="full", shape="s", request=recordings.sealed(b"asked"), request_bytes=5, response=None,
        response_bytes=0, status=200, content_type="", complete=True, recorded_at=now,
        expires_at=now + timedelta(days=1),
    )  # fmt: skip


@pytest.fixture
def rotating(kept: None, settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]


def rotate(*arguments: str) -> list[str]:
    said = io.StringIO()
    call_command("rotate-secrets", *arguments, stdout=said)
    return said.getvalue().splitlines()


class TestRotating:
    def test_everything_is_read_with_the_new_key_alone(self, rotating: None, settings: Any) -> None:
        said = rotate()

        settings.SECRET_KEY_FALLBACKS = []
        assert said[:4] == [
            "keys of upstreams: 2 encrypted anew, 0 were up to date",
            "second factors: 2 encrypted anew, 0 were up to date",
            "recorded calls: 1 encrypted anew, 0 were up to date",
            "kept answers: 1 encrypted anew, 0 were up to date",
        ]
        keys = [sealing.unseal(registry.SECRETS, bytes(key.sealed)) for key in UpstreamKey.objects.all()]
        assert keys == [b"sk-main", b"sk-spare"]
        factors = {factor.type: factor.data for factor in Authenticator.objects.all()}
        assert get_adapter().decrypt(factors["totp"]["secret"]) == "JBSWY3DP"
        assert get_adapter().decrypt(factors["recovery_codes"]["seed"]) == "a seed"
        assert factors["recovery_codes"]["used_mask"] == 5
        assert recordings.unsealed(Recording.objects.get().request) == b"asked"
        assert sealing.unseal(idempotency.PURPOSE, bytes(KeptAnswer.objects.get().sealed)) == b"{}"

    def test_again_there_is_nothing_to_do(self, rotating: None) -> None:
        rotate()

        assert rotate()[0] == "keys of upstreams: 0 encrypted anew, 2 were up to date"

    def test_interrupted_it_goes_on_where_it_was(self, rotating: None, monkeypatch: Any) -> None:
        seal, left = sealing.seal, [None]

        def once(purpose: str, content: bytes) -> bytes:
            left.pop()  # the second time: IndexError, as if the process had been killed
            return seal(purpose, content)

        with monkeypatch.context() as patch:
            patch.setattr(sealing, "seal", once)
            with pytest.raises(IndexError):
                rotate("--batch", "1")

        assert rotate("--batch", "1")[0] == "keys of upstreams: 1 encrypted anew, 1 were up to date"

    def test_a_dry_run_counts_and_changes_nothing(self, rotating: None) -> None:
        before = [bytes(key.sealed) for key in UpstreamKey.objects.all()]

        assert rotate("--dry-run")[0] == "keys of upstreams: 2 would be encrypted anew, 0 were up to date"
        assert [bytes(key.sealed) for key in UpstreamKey.objects.all()] == before
        assert not Event.objects.filter(kind="secrets.rotated").exists()

    def test_what_cannot_be_read_is_named_and_the_rest_is_done(self, rotating: None) -> None:
        lost = UpstreamKey.objects.get(label="main")
        UpstreamKey.objects.filter(pk=lost.pk).update(sealed=b"gAAAA-of-another-installation")

        with pytest.raises(CommandError, match=f"keys of upstreams {lost.pk}"):
            rotate()
        assert secrets.rotate()[0].current == 1

    def test_it_is_recorded_without_any_secret(self, rotating: None) -> None:
        rotate()

        event = Event.objects.get(kind="secrets.rotated")
        assert event.data["stores"]["keys of upstreams"] == {"renewed": 2, "unreadable": 0}


def test_no_other_column_of_bytes_is_left_out() -> None:
    """Whoever adds one says whether it is encrypted."""
    plain = {
        "checkpoints.Blob.body", "checkpoints.ManifestPart.body", "machines.MachineFile.content",
        "machines.Prediction.sketch",
    }  # fmt: skip
    listed = {f"{store.model._meta.label}.{name}" for store in secrets.STORES for name in store.columns}
    found = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.BinaryField)
    }
    assert found - plain - listed == set()
