"""The chain of events: it grows with every commit, and whoever owns the database cannot change it unseen."""

import threading

import pytest
from django.conf import settings as configured
from django.db import connection, transaction

from events import actions as events
from events.chain import checks, heads, keys
from events.chain.canonical import NOTHING, TEXT, digest
from events.models import Event, Head, Link
from tests.events.conftest import TABLES

pytestmark = pytest.mark.django_db(transaction=True)


def verified() -> list[tuple[str, int]]:
    """What `audit verify` finds, and at which positions."""
    return [(found.kind, found.position) for found in checks.run().findings]


def sentences() -> str:
    return " ".join(found.sentence for found in checks.run().findings)


def texts() -> dict[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT e.id, {TEXT} FROM events_event e")
        return dict(cursor.fetchall())


def relink(first: int) -> list[str]:
    """Statements that make the links consistent again from that position on, as a careful forger would."""
    written, statements = texts(), []
    previous = Link.objects.get(position=first - 1).digest if first > 1 else NOTHING
    for link in Link.objects.filter(position__gte=first):
        previous = digest(previous, written[link.event_id])
        statements.append(f"UPDATE events_link SET digest = '{previous}' WHERE position = {link.position}")
    return statements


class TestGrowing:
    def test_every_event_gets_the_next_position_and_a_digest_of_itself_and_what_was_before(self, ten):
        written, previous = texts(), NOTHING
        for position, link in enumerate(Link.objects.all(), start=1):
            previous = digest(previous, written[link.event_id])
            assert (link.position, link.digest) == (position, previous)
        assert [link.event_id for link in Link.objects.all()] == [event.pk for event in ten]

    def test_several_events_of_one_transaction_follow_in_the_order_they_were_recorded(self):
        with transaction.atomic():
            made = [events.record("a.b", subject=f"x:{n}") for n in range(5)]

        assert [link.event_id for link in Link.objects.all()] == [event.pk for event in made]

    def test_what_is_rolled_back_leaves_no_gap(self):
        events.record("a.b", subject="x:1")
        with transaction.atomic():
            events.record("a.b", subject="x:2")
            transaction.set_rollback(True)
        with transaction.atomic():
            events.record("a.b", subject="x:3")
            with transaction.atomic():
                events.record("a.b", subject="x:4")
                transaction.set_rollback(True)

        assert [link.position for link in Link.objects.all()] == [1, 2]
        assert verified() == []

    def test_nothing_waits_in_the_queue_of_the_chain(self, ten):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events_pending")
            assert cursor.fetchone() == (0,)

    def test_many_transactions_at_once_make_one_chain_and_no_deadlock(self, project):
        """Each also waits for a row that others lock: foreign keys that are checked at the commit."""
        failed, before = [], Link.objects.count()

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    with transaction.atomic(), connection.cursor() as cursor:
                        events.record("a.b", subject=f"x:{number}.{turn}")
                        cursor.execute(
                            "SELECT 1 FROM projects_project WHERE id = %s FOR NO KEY UPDATE", [project.pk]
                        )
                        events.record("a.c", subject=f"x:{number}.{turn}")
            except Exception as error:
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        assert Link.objects.count() - before == 8 * 10 * 2
        assert verified() == []


class TestPrivilege:
    @pytest.mark.parametrize("table", TABLES)
    def test_nobody_holds_the_right_to_edit_or_delete_not_even_the_owner(self, table):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT privilege_type FROM pg_class, aclexplode(relacl) WHERE oid = %s::regclass", [table]
            )
            held = {row[0] for row in cursor.fetchall()}
        assert "INSERT" in held
        assert not held & {"UPDATE", "DELETE"}  # TRUNCATE is what empties test databases

    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize(
        "statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"], ids=lambda s: s.split()[0]
    )
    def test_and_a_trigger_refuses_whoever_has_it(self, ten, table, statement):
        statement = statement.format(table).replace(
            "id = id", "position = position" if "link" in table else "id = id"
        )
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SET LOCAL autovibe.flush = 'off'")
            with pytest.raises(Exception, match="append-only"), transaction.atomic():
                cursor.execute(statement)
        assert Event.objects.count() == 10


class TestTampering:
    """As the owner of the database, triggers disabled, every privilege granted."""

    def test_untouched_it_is_intact_and_says_so(self, ten):
        report = checks.run()

        assert (report.links, report.position, report.heads, report.findings) == (10, 10, 1, [])
        assert checks.latest().kind == "audit.intact"

    def test_an_edit_is_named_with_what_was_expected(self, ten, owner):
        right = Link.objects.get(position=4).digest
        owner(f"UPDATE events_event SET actor = 'mallory' WHERE id = {ten[3].pk}")

        assert verified() == [("edited", 4)]
        assert f"Event {ten[3].pk} at position 4 was edited" in sentences()
        assert right in sentences()
        assert checks.latest().kind == "audit.broken"

    def test_so_is_one_of_what_was_told(self, ten, owner):
        owner(f'UPDATE events_event SET data = \'{{"note": "other"}}\' WHERE id = {ten[9].pk}')

        assert verified() == [("edited", 10)]

    def test_a_deleted_event_is_named(self, ten, owner):
        owner(f"DELETE FROM events_event WHERE id = {ten[4].pk}")

        assert verified() == [("deleted", 5)]
        assert f"Event {ten[4].pk} at position 5 was deleted" in sentences()

    def test_a_gap_is_named_where_the_links_are_gone_too(self, ten, owner):
        owner(
            f"DELETE FROM events_event WHERE id IN ({ten[4].pk}, {ten[5].pk})",
            "DELETE FROM events_link WHERE position IN (5, 6)",
        )

        assert verified() == [("gap", 7)]
        assert f"Positions 5 to 6 are missing: 2 events were removed before event {ten[6].pk}" in sentences()

    def test_events_that_changed_places_are_both_named(self, ten, owner):
        third, eighth = ten[2].pk, ten[7].pk
        owner(
            f"UPDATE events_event SET id = -1 WHERE id = {third}",
            f"UPDATE events_event SET id = {third} WHERE id = {eighth}",
            f"UPDATE events_event SET id = {eighth} WHERE id = -1",
        )

        assert verified() == [("reordered", 3), ("reordered", 8)]
        assert f"Event {third} at position 3 was reordered: what it was is event {eighth} now" in sentences()

    def test_links_that_changed_places_are_both_named(self, ten, owner):
        owner(
            "UPDATE events_link SET position = -1 WHERE position = 3",
            "UPDATE events_link SET position = 3 WHERE position = 8",
            "UPDATE events_link SET position = 8 WHERE position = -1",
        )

        assert verified() == [("reordered", 3), ("reordered", 8)]

    def test_an_event_beside_the_chain_is_named(self, ten, owner):
        owner(
            "INSERT INTO events_event (at, kind, subject, actor, data) "
            "VALUES (now(), 'budget.raised', 'x:1', 'mallory', '{}')"
        )

        assert [kind for kind, _ in verified()] == ["inserted"]
        assert "(budget.raised" in sentences()

    def test_so_is_one_that_was_squeezed_into_it(self, ten, owner):
        owner(
            "UPDATE events_link SET position = position + 100 WHERE position > 5",
            "UPDATE events_link SET position = position - 99 WHERE position > 100",
            "INSERT INTO events_event (id, at, kind, subject, actor, data) "
            "VALUES (9999, now(), 'budget.raised', 'x:1', 'mallory', '{}')",
        )
        forged = digest(Link.objects.get(position=5).digest, texts()[9999])
        owner(f"INSERT INTO events_link VALUES (6, 9999, '{forged}')")

        assert ("inserted", 6) in verified()
        assert "Position 6 was inserted" in sentences()

    def test_a_digest_that_was_replaced_is_named_and_its_event_is_not_blamed(self, ten, owner):
        owner(f"UPDATE events_link SET digest = '{'a' * 64}' WHERE position = 6")

        assert verified() == [("replaced", 6)]

    def test_truncation_is_found_by_the_signed_head(self, ten, owner):
        owner(
            f"DELETE FROM events_event WHERE id > {ten[6].pk}",
            "DELETE FROM events_link WHERE position > 7",
        )

        assert (
            "Events after position 7 were truncated: The head of position 10 in the database" in sentences()
        )

    def test_with_everything_in_the_database_removed_the_file_outside_still_tells(self, ten, owner, kept):
        owner(*(f"TRUNCATE {table}" for table in TABLES))

        assert [kind for kind, _ in verified()] == ["truncated", "head removed"]
        assert f"The head of position 10 in {kept}" in sentences()

    def test_a_chain_that_was_made_anew_throughout_does_not_agree_with_what_was_signed(self, ten, owner):
        owner(f"UPDATE events_event SET actor = 'mallory' WHERE id = {ten[3].pk}")
        owner(*relink(4))

        assert {kind for kind, _ in verified()} == {"rewritten"}
        assert "events after the beginning were replaced together with their links" in sentences()

    def test_and_says_since_when_where_an_earlier_head_agrees(self, ten, owner):
        made = events.record("machine.running", subject="machine:11")
        assert heads.mind()
        owner(f"UPDATE events_event SET actor = 'mallory' WHERE id = {made.pk}")
        owner(*relink(11))

        assert "events after position 10 were replaced" in sentences()

    def test_a_head_with_a_key_of_somebody_else_is_named(self, ten, owner):
        owner(f"UPDATE events_head SET key = '{'ab' * 32}'")

        assert ("forged", 10) in verified()

    def test_a_head_that_was_changed_is_named(self, ten, owner):
        owner("UPDATE events_head SET position = 9")

        assert ("forged", 9) in verified()

    def test_the_hub_sees_within_a_minute_that_what_it_signed_last_is_gone(self, ten, owner, caplog):
        owner(
            f"DELETE FROM events_event WHERE id = {ten[9].pk}", "DELETE FROM events_link WHERE position = 10"
        )

        assert heads.mind()
        assert "run manage.py audit verify" in caplog.text


class TestHeads:
    def test_one_is_signed_when_the_chain_has_moved_and_only_then(self, ten, kept):
        assert not heads.mind()
        events.record("a.b", subject="x:1")
        assert heads.mind()

        assert [head.position for head in Head.objects.all()] == [10, 11]
        assert [head.position for head in heads.of_file(kept)] == [10, 11]
        assert all(head.is_authentic for head in heads.of_file(kept))

    def test_a_disk_that_is_full_does_not_stop_it(self, settings, tmp_path, caplog):
        (tmp_path / "file").touch()
        settings.AUDIT_HEADS = str(tmp_path / "file" / "heads.jsonl")
        events.record("a.b", subject="x:1")

        assert heads.mind()
        assert "could not be written" in caplog.text

    def test_after_the_secret_key_was_changed_the_old_heads_still_hold(self, ten, settings):
        settings.SECRET_KEY_FALLBACKS = [configured.SECRET_KEY]
        settings.SECRET_KEY = "another-" + "y" * 40
        events.record("a.b", subject="x:1")
        assert heads.mind()

        assert verified() == []
        assert len({head.key for head in Head.objects.all()}) == 2

    def test_without_the_old_key_they_are_said_to_be_somebody_elses(self, ten, settings):
        settings.SECRET_KEY = "another-" + "y" * 40

        assert ("forged", 10) in verified()

    def test_a_key_for_the_audit_alone_is_used_where_there_is_one(self, ten, settings):
        before = keys.public()
        settings.AUDIT_KEY = ["only-for-heads-" + "z" * 40]

        assert keys.public()[0] not in before
        assert keys.public()[1:] == before
