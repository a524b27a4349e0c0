"""The difference between two checkpoints: what changed, where to, how much of it, and a page at a time."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from checkpoints.models import Blob, Checkpoint
from checkpoints.reading import diff
from machines.states import State as MachineState
from projects.errors import Conflict, NotThere
from tests.checkpoints.kept import machine_of, sha, take


@pytest.fixture
def machine(funded, genesis, alice):
    return machine_of(funded, genesis, alice, MachineState.RUNNING)


@pytest.fixture
def pair(machine):
    """Two checkpoints with these files, and the changes between them by path."""

    def pair(before: dict[str, bytes], after: dict[str, bytes]) -> tuple[Checkpoint, Checkpoint]:
        return take(machine, before), take(machine, after)

    return pair


def by_path(page: diff.Page) -> dict[str, diff.Difference]:
    return {change.path: change for change in page.changes}


class TestChanges:
    def test_it_names_what_was_added_removed_and_modified(self, pair):
        found = by_path(
            diff.between(
                *pair(
                    {"gone": b"x", "same": b"s", "text": b"one\ntwo\n"},
                    {"new": b"y", "same": b"s", "text": b"one\nthree\n"},
                )
            )
        )

        assert {path: change.change for path, change in found.items()} == {
            "gone": "removed",
            "new": "added",
            "text": "modified",
        }
        assert "-two\n+three" in found["text"].diff
        assert (found["text"].size_before, found["text"].size_after) == (8, 10)

    def test_genesis_compares_as_empty(self, machine, genesis):
        assert [one.change for one in diff.between(genesis, take(machine, {"a": b"1"})).changes] == ["added"]

    def test_totals_are_of_all_changes(self, pair):
        page = diff.between(*pair({"a": b"12", "b": b"3"}, {"a": b"456", "c": b"7", "d": b"8"}), limit=1)

        assert page.totals == diff.Totals(2, 1, 1, 0, bytes_before=3, bytes_after=5)

    def test_without_a_list_of_files_it_says_so(self, machine):
        listed = take(machine, {"a": b"1"})
        unlisted = take(machine, manifest=None)

        with pytest.raises(Conflict, match=f"{unlisted.handle} has no list of files"):
            diff.between(listed, unlisted)


class TestRename:
    def test_the_same_content_elsewhere_is_a_file_that_was_renamed(self, pair):
        (found,) = diff.between(*pair({"old": b"text\n"}, {"new": b"text\n"})).changes

        assert (found.path, found.change, found.before_path, found.diff) == ("new", "renamed", "old", "")

    def test_of_two_copies_each_is_told_once(self, pair):
        page = diff.between(*pair({"a": b"x", "b": b"x"}, {"c": b"x", "d": b"y"}))

        assert [(one.path, one.change, one.before_path) for one in page.changes] == [
            ("b", "removed", None),
            ("c", "renamed", "a"),
            ("d", "added", None),
        ]

    def test_a_copy_of_what_is_still_there_is_new(self, pair):
        assert [one.change for one in diff.between(*pair({"a": b"x"}, {"a": b"x", "b": b"x"})).changes] == [
            "added"
        ]

    def test_empty_files_are_not_taken_for_each_other(self, pair):
        page = diff.between(*pair({"a": b""}, {"b": b""}))

        assert [one.change for one in page.changes] == ["removed", "added"]


class TestText:
    @pytest.mark.parametrize(
        ("content", "why"), [(b"\xff\xff", "binary"), (b"x" * (diff.TEXT_BYTES_MAX + 1), "large")]
    )
    def test_what_cannot_be_compared_line_by_line_says_why(self, pair, content, why):
        (found,) = diff.between(*pair({"a": b"text"}, {"a": content})).changes

        assert (found.diff, found.without) == (None, why)

    def test_a_content_that_is_damaged_is_not_shown(self, pair):
        before, after = pair({"a": b"text"}, {"a": b"other"})
        Blob.objects.filter(pk=sha(b"other")).update(body=b"rot")

        (found,) = diff.between(before, after).changes

        assert (found.diff, found.without) == (None, "damaged")


class TestPages:
    def test_pages_follow_each_other_without_a_gap(self, pair):
        before, after = pair({}, {name: name.encode() for name in "abcde"})

        first = diff.between(before, after, limit=3)
        second = diff.between(before, after, limit=3, beyond=first.after)

        assert [one.path for one in first.changes + second.changes] == list("abcde")
        assert (first.after, second.after) == ("c", None)

    def test_a_page_ends_where_the_texts_become_too_much(self, pair, monkeypatch):
        monkeypatch.setattr(diff, "PAGE_BYTES_MAX", 100)
        page = diff.between(*pair({}, {name: name.encode() * 60 for name in "abc"}))

        assert ([one.path for one in page.changes], page.after) == (["a"], "a")

    def test_one_file_can_be_asked_for_by_either_name(self, pair):
        before, after = pair({"old": b"text", "x": b"1"}, {"new": b"text", "x": b"2"})

        assert {
            name: [one.path for one in diff.between(before, after, path=name).changes]
            for name in ("old", "new", "x")
        } == {"old": ["new"], "new": ["new"], "x": ["x"]}

    def test_a_file_that_did_not_change_is_no_change_and_one_that_is_not_there_is_said_to_be_so(self, pair):
        before, after = pair({"same": b"1"}, {"same": b"1"})

        assert diff.between(before, after, path="same").changes == []
        with pytest.raises(NotThere, match="Neither"):
            diff.between(before, after, path="none")

    def test_what_git_keeps_for_itself_can_be_left_out(self, pair):
        before, after = pair({}, {".git/HEAD": b"1", "sub/.git/x": b"2", "a": b"3"})

        assert [one.path for one in diff.between(before, after, git=False).changes] == ["a"]

    def test_it_takes_as_many_queries_for_few_changes_as_for_many(self, pair):
        counts = set()
        for many in (1, 150):
            before, after = pair({}, {f"f{n}": b"%d" % n for n in range(many)})
            before, after = Checkpoint.objects.get(pk=before.pk), Checkpoint.objects.get(pk=after.pk)
            with CaptureQueriesContext(connection) as queries:
                diff.between(before, after)
            counts.add(len(queries))

        assert len(counts) == 1


class TestOverRest:
    def test_an_answer_has_totals_and_the_address_of_the_next_page(self, api, pair):
        before, after = pair({}, {"a": b"1\n", "b": b"2\n"})
        url = f"/api/v1/checkpoints/{before.handle}/diff/?to={after.handle}&page_size=1"

        first = api("bob").get(url).json()
        second = api("bob").get(first["next"]).json()

        assert (first["from"], first["to"], first["totals"]["added"]) == (before.handle, after.handle, 2)
        assert [one["path"] for one in first["changes"] + second["changes"]] == ["a", "b"]
        assert (second["next"], second["changes"][0]["diff"]) == (
            None,
            "--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+2",
        )

    @pytest.mark.parametrize("query", ["page_size=0", "page_size=x", "git=maybe"])
    def test_nonsense_is_refused(self, api, pair, query):
        before, after = pair({}, {})

        answer = api("bob").get(f"/api/v1/checkpoints/{before.handle}/diff/?to={after.handle}&{query}")

        assert answer.status_code == 400
