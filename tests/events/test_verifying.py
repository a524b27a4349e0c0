"""`manage.py audit`, and the verification once a day."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_q.models import OrmQ

from events import actions as events
from events.chain import checks, keys
from events.models import Event, Head, Link

pytestmark = pytest.mark.django_db(transaction=True)


class TestTheCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("audit", *arguments, stdout=out, stderr=out)
        return out.getvalue()

    @pytest.fixture
    def exported(self, ten, tmp_path) -> Path:
        path = tmp_path / "events.jsonl"
        path.write_text(self.run("export"))
        return path

    def test_it_says_that_all_is_well(self, ten):
        assert "10 events follow one another up to position 10" in self.run("verify")

    def test_it_fails_and_names_what_is_not(self, ten, owner):
        owner(f"UPDATE events_event SET actor = 'mallory' WHERE id = {ten[3].pk}")
        err = StringIO()

        with pytest.raises(CommandError, match="1 findings in 10 events"):
            call_command("audit", "verify", stderr=err)
        assert f"Event {ten[3].pk} at position 4 was edited" in err.getvalue()

    def test_a_head_that_was_kept_elsewhere_finds_what_the_rest_does_not(self, ten, owner, kept, tmp_path):
        (tmp_path / "paper.jsonl").write_text(self.run("head"))
        owner("TRUNCATE events_event", "TRUNCATE events_link", "TRUNCATE events_head")
        kept.unlink()

        assert "0 events" in self.run("verify")
        with pytest.raises(CommandError, match="findings"):
            self.run("verify", "--heads", str(tmp_path / "paper.jsonl"))

    def test_each_line_of_an_export_is_json_and_holds_the_text_that_was_digested(self, ten, exported):
        lines = [json.loads(line) for line in exported.read_text().splitlines()]

        assert [line["position"] for line in lines] == list(range(1, 11))
        assert [line["event"]["data"]["note"] for line in lines] == [f"n{n}" for n in range(10)]
        assert [line["digest"] for line in lines] == [link.digest for link in Link.objects.all()]

    def test_an_export_is_verified_without_the_database(self, exported, kept, django_db_blocker):
        key = keys.public()[0]
        connection.close()
        with django_db_blocker.block():
            said = self.run("verify", "--file", str(exported), "--heads", str(kept), "--key", key)

        assert "10 events follow one another" in said
        assert "1 signed heads agree" in said

    def test_an_export_that_was_edited_is_not_believed(self, exported):
        exported.write_text(exported.read_text().replace('"n4"', '"n5"'))

        with pytest.raises(CommandError, match="1 findings"):
            self.run("verify", "--file", str(exported))

    def test_neither_is_one_that_ends_early(self, exported, kept):
        exported.write_text("".join(exported.read_text().splitlines(keepends=True)[:8]))

        with pytest.raises(CommandError, match="1 findings"):
            self.run("verify", "--file", str(exported), "--heads", str(kept), "--key", keys.public()[0])

    def test_one_that_leaves_events_out_is_checked_as_far_as_it_goes(self, exported):
        lines = exported.read_text().splitlines(keepends=True)
        exported.write_text("".join(lines[2:4] + lines[7:]))

        assert "5 events" in self.run("verify", "--file", str(exported), "--partial")
        with pytest.raises(CommandError, match="1 findings"):
            self.run("verify", "--file", str(exported))

    def test_an_export_can_begin_later(self, ten, tmp_path):
        path = tmp_path / "late.jsonl"
        path.write_text(self.run("export", "--since", ten[6].at.isoformat()))

        assert len(path.read_text().splitlines()) == 4
        assert "4 events follow one another" in self.run("verify", "--file", str(path))

    def test_what_is_no_export_is_refused_with_a_sentence(self, tmp_path):
        path = tmp_path / "other.jsonl"
        path.write_text("{}\n")

        with pytest.raises(CommandError, match="line 1 is no exported event"):
            self.run("verify", "--file", str(path))


class TestOnceADay:
    def test_a_worker_verifies_it_once(self, ten):
        checks.run_if_due()
        checks.run_if_due()

        assert Event.objects.filter(kind="audit.intact").count() == 1

    def test_the_hub_has_it_done_and_signs(self, ten, monkeypatch):
        monkeypatch.setattr(checks, "_asked_at", float("-inf"))
        events.record("a.b", subject="x:1")
        checks.mind()
        checks.mind()

        assert Head.objects.last().position == 11
        assert OrmQ.objects.count() == 1
