"""Receipts: that they say what happened, add up to the ledger, and that no edit of them passes."""

import copy
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autovibe_cli import receipt_check
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db.models import Sum
from django.utils import timezone
from rest_framework.test import APIClient

from budgets.models import LedgerEntry
from events.actions import record as record_event
from events.chain import keys
from events.models import Event, Link
from gateway import record
from gateway.models import Call, Recording
from gateway.receipts import build, chain
from machines.models import Machine, MachineFile, Message
from machines.states import State
from projects.errors import Conflict
from projects.models import User
from tests.dashboard import rows
from tests.gateway import servers

Receipt = dict[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "receipts.md"


@pytest.fixture
def ended(machine: Machine, provider: Any, call: Any, owner: User) -> Machine:
    """It made a call, kept two checkpoints, was told something, and ended."""
    MachineFile.objects.create(machine=machine, path="a.txt", content=b"a")
    rows.checkpoint(machine, {"a.txt": "a"}, call_number=1)
    call(stream=True)
    servers.until(lambda: Recording.objects.filter(call__number=1, call__state=Call.State.DONE).first())
    Message.objects.create(machine=machine, text="Büzz.", author="alice", delivered_at=timezone.now())
    rows.checkpoint(machine, {"b.txt": "a", "c.txt": "new"}, call_number=2)
    Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED, ended_at=timezone.now())
    return Machine.objects.select_related("project", "source", "present__manifest").get(pk=machine.pk)


@pytest.fixture
def receipt(ended: Machine, owner: User) -> Receipt:
    return build.receipt(ended, by=owner)


def of(receipt: Receipt, kind: str) -> list[Receipt]:
    return [entry for entry in receipt["entries"] if entry["kind"] == kind]


def verify(receipt: Receipt) -> list[str]:
    return receipt_check.verify(json.dumps(receipt).encode(), keys.public())


class TestWhatItSays:
    def test_everything_that_happened_in_its_order(self, receipt: Receipt) -> None:
        kinds = [entry["kind"] for entry in receipt["entries"]]

        happened = ["checkpoint", "call", "message", "checkpoint"]
        assert kinds == ["machine", *happened, "diff", "compute", "totals", "audit"]

    def test_what_it_was_asked_and_from_where(self, receipt: Receipt, ended: Machine) -> None:
        (told,) = of(receipt, "machine")

        assert told["prompt"]["sha256"] == hashlib.sha256(ended.prompt.encode()).hexdigest()
        assert "text" not in told["prompt"]
        assert told["modifications"][0]["sha256"] == hashlib.sha256(b"a").hexdigest()
        assert told["source"]["checkpoint"] == ended.source.handle

    def test_texts_only_where_they_are_asked_for(self, ended: Machine, owner: User) -> None:
        told = build.receipt(ended, by=owner, texts=True)

        assert of(told, "machine")[0]["prompt"]["text"] == ended.prompt
        assert of(told, "message")[0]["message"]["text"] == "Büzz."

    def test_what_was_said_to_the_model_by_hash(self, receipt: Receipt) -> None:
        bodies = record.opened(Recording.objects.select_related("call").get())
        (told,) = of(receipt, "call")

        assert told["recording"]["request_sha256"] == hashlib.sha256(bodies.request).hexdigest()
        assert told["recording"]["response_sha256"] == hashlib.sha256(bodies.response).hexdigest()

    def test_costs_are_the_ledgers(self, receipt: Receipt, ended: Machine) -> None:
        entries = LedgerEntry.objects.filter(machine_id=ended.pk, kind__in=LedgerEntry.CONSUMPTION)
        (call,), (totals,) = of(receipt, "call"), of(receipt, "totals")

        assert totals["micros"] == entries.aggregate(micros=Sum("micros"))["micros"] > 0
        assert [row["id"] for row in call["ledger"]] == [entry.pk for entry in entries]
        assert call["micros"] == Call.objects.get().cost_micros

    def test_what_became_of_its_files(self, receipt: Receipt) -> None:
        (diff,) = of(receipt, "diff")

        found = {one["path"]: one for one in diff["files"]}
        assert {path: one["status"] for path, one in found.items()} == {"b.txt": "added", "c.txt": "added"}
        assert found["c.txt"]["after"]["sha256"] == hashlib.sha256(b"new").hexdigest()

    def test_after_which_call_it_was_kept(self, receipt: Receipt) -> None:
        assert [one["after_call"] for one in of(receipt, "checkpoint")] == [0, 1]

    def test_where_its_events_are_in_the_audit_chain(self, ended: Machine, owner: User) -> None:
        record_event("machine.terminated", subject=ended.subject, project_id=ended.project_id, by="alice")

        (told,) = of(build.receipt(ended, by=owner), "audit")
        (row,) = (one for one in told["events"] if one["kind"] == "machine.terminated")
        link = Link.objects.get(position=row["position"])
        assert (link.event_id, link.digest) == (row["event"], row["digest"])

    def test_a_branch_names_its_parents_receipt(self, receipt: Receipt, ended: Machine, owner: User) -> None:
        branch = rows.machine(ended.project, ended.present, State.FAILED)

        (told,) = of(build.receipt(branch, by=owner), "machine")
        assert told["source"]["receipt"] == receipt["head"]["digest"]

    def test_that_it_was_issued_is_recorded_once(self, receipt: Receipt, ended: Machine, owner: User) -> None:
        again = build.receipt(ended, by=owner)

        assert again["head"]["digest"] == receipt["head"]["digest"]
        (event,) = Event.objects.filter(kind="receipt.issued")
        assert (event.actor, event.data["digest"]) == ("alice", receipt["head"]["digest"])


class TestVerifying:
    def test_it_is_as_it_was_signed(self, receipt: Receipt) -> None:
        assert verify(receipt) == []

    def test_every_field_that_is_edited_is_found_and_named(self, receipt: Receipt) -> None:
        edits = 0
        for place, name in _places(receipt):
            for edited in _edits(receipt, place, name):
                wrong = verify(edited)
                assert wrong, f"{[*place, name]} can be edited"
                way = [*place, name]
                if way[0] == "entries" and len(way) > 1:
                    assert wrong[0].startswith(f"Entry {way[1]} "), wrong
                elif place == ["head"]:
                    assert "ead" in wrong[0]
                edits += 1
        assert edits > 300

    @pytest.mark.parametrize("forge", ["drop the last", "drop one", "exchange two", "repeat one"])
    def test_so_are_entries_that_are_gone_or_elsewhere(self, receipt: Receipt, forge: str) -> None:
        entries = receipt["entries"]
        receipt["entries"] = {
            "drop the last": entries[:-1],
            "drop one": [*entries[:2], *entries[3:]],
            "exchange two": [*entries[:2], entries[3], entries[2], *entries[4:]],
            "repeat one": [*entries[:3], *entries[2:]],
        }[forge]

        assert verify(receipt)

    def test_a_chain_that_was_made_anew_lacks_the_signature(self, receipt: Receipt) -> None:
        forged = _rechained(receipt)

        (wrong,) = verify(forged)
        assert wrong == "Head: the signature is not for this."

    def test_whoever_signs_a_forgery_has_another_key(self, receipt: Receipt) -> None:
        forged = _rechained(receipt)
        thief = Ed25519PrivateKey.generate()
        told = {name: forged["head"][name] for name in ("count", "digest", "signed_at")}
        forged["head"] |= {
            "key": thief.public_key().public_bytes_raw().hex(),
            "signature": thief.sign(chain.message(**told)).hex(),
        }

        (wrong,) = verify(forged)
        assert "not a key that was given" in wrong

    def test_what_we_sign_has_to_add_up(self, receipt: Receipt) -> None:
        forged = _rechained(receipt)
        key, signature = keys.sign(
            chain.message(**{name: forged["head"][name] for name in ("count", "digest", "signed_at")})
        )
        forged["head"] |= {"key": key, "signature": signature}

        assert verify(forged)[0].startswith("Totals: ")

    def test_a_name_that_stands_twice_is_refused(self, receipt: Receipt) -> None:
        twice = json.dumps(receipt).replace('"entry": 0,', '"entry": 0, "entry": 0,', 1)

        assert "twice" in receipt_check.verify(twice.encode(), keys.public())[0]

    def test_what_is_nested_too_deeply_is_none(self) -> None:
        assert "no receipt" in receipt_check.verify(b"[" * 100_000, [])[0]

    @pytest.mark.parametrize("edited", [False, True])
    def test_a_stranger_verifies_it_with_openssl_as_the_manual_says(
        self, receipt: Receipt, tmp_path: Path, edited: bool
    ) -> None:
        (program,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
        (tmp_path / "verify.py").write_text(program)
        if edited:
            receipt["head"]["signed_at"] = "2001-01-01T00:00:00Z"
        (tmp_path / "m.json").write_text(json.dumps(receipt, ensure_ascii=False))

        command = [sys.executable, "verify.py", "m.json", keys.public()[0]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

        assert (done.returncode == 0) is not edited, done.stderr
        assert ("It is as it was signed." in done.stdout) is not edited


def _rechained(receipt: Receipt) -> Receipt:
    """A call made cheaper, and everything after it made to fit."""
    plain = copy.deepcopy(receipt["entries"])
    call = next(entry for entry in plain if entry["kind"] == "call")
    call["micros"] -= 1
    call["ledger"][0]["micros"] -= 1
    for entry in plain:
        del entry["digest"], entry["previous"], entry["entry"]
    made = chain.linked(plain)
    return {**receipt, "entries": made, "head": {**receipt["head"], "digest": made[-1]["digest"]}}


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[list[Any], Any]]:
    """Every name and number in it, with the way to the object or list that it is in."""
    for name in value if isinstance(value, dict) else range(len(value)):
        yield list(place), name
        if isinstance(value[name], dict | list):
            yield from _places(value[name], (*place, name))


def _edits(receipt: Receipt, place: list[Any], name: Any) -> Iterator[Receipt]:
    """It changed, and it taken away."""
    for change in (_changed, None):
        edited = copy.deepcopy(receipt)
        inside: Any = edited
        for step in place:
            inside = inside[step]
        if change:
            inside[name] = change(inside[name])
        elif place != ["entries"]:  # the entries after it would be named
            del inside[name]
        else:
            continue
        yield edited


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value.upper() if value.upper() != value else f"{value}x"
    if isinstance(value, dict):
        return {**value, "more": 1}
    return [*value, 1] if isinstance(value, list) else 0


class TestOverRest:
    @pytest.fixture
    def client(self, owner: User) -> APIClient:
        made = APIClient()
        made.force_authenticate(owner)
        return made

    def test_it_can_be_fetched_and_verified(self, client: APIClient, ended: Machine) -> None:
        answer = client.get(f"/api/v1/machines/{ended.handle}/receipt/")

        assert receipt_check.verify(answer.content, keys.public()) == []

    def test_of_a_machine_that_goes_on_there_is_one_so_far(self, client: APIClient, machine: Machine) -> None:
        refused = client.get(f"/api/v1/machines/{machine.handle}/receipt/")
        so_far = client.get(f"/api/v1/machines/{machine.handle}/receipt/?so_far=1")

        assert (refused.status_code, so_far.status_code) == (409, 200)
        assert "--so-far" in refused.json()["detail"]
        assert so_far.json()["entries"][0]["complete"] is False

    def test_outsiders_do_not_learn_that_there_is_such_a_machine(self, ended: Machine) -> None:
        stranger = APIClient()
        stranger.force_authenticate(User.objects.create_user("charlie"))

        assert stranger.get(f"/api/v1/machines/{ended.handle}/receipt/").status_code == 404


def test_a_machine_that_ended_can_have_one_and_no_other(machine: Machine, owner: User) -> None:
    with pytest.raises(Conflict, match="its receipt is not complete"):
        build.receipt(machine, by=owner)
