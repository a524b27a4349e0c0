"""A list of files against what a guest really has: what is damage, and what a program did in between."""

from typing import Any

import pytest

from checkpoints.contents.integrity import compare, roots, told

LISTED_NS = 1_700_000_000 * 10**9
SECOND = 10**9
LISTED: list[dict[str, Any]] = [
    {"path": "/var/lib/a/log.jsonl", "kind": "file", "size": 3, "sha256": "a", "mode": 0o600, "mtime_ns": 1},
    {"path": "link", "kind": "link", "target": "main.py", "mode": 0o777},
    {"path": "main.py", "kind": "file", "size": 3, "sha256": "m", "mode": 0o644, "mtime_ns": LISTED_NS - 1},
    {"path": "src", "kind": "dir", "mode": 0o755},
]
ROOTS = [{"path": "", "kind": "root", "mtime_ns": 1}, {"path": "/var/lib/a/", "kind": "root", "mtime_ns": 1}]


def compared(change: dict[str, dict[str, Any] | None]) -> tuple[list[str], list[str]]:
    """What is found where these paths have other values, or are gone (None)."""
    found = {one["path"]: dict(one) for one in [*LISTED, *ROOTS]}
    for path, values in change.items():
        if values is None:
            del found[path]
        else:
            found[path] = {"path": path, "mtime_ns": 1} | found.get(path, {}) | values
    return tuple(compare(LISTED, found.values(), listed_ns=LISTED_NS, window_ns=SECOND))  # type: ignore[return-value]


class TestCompare:
    def test_the_same_files_are_the_same(self):
        assert compared({}) == ([], [])

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"main.py": {"sha256": "x"}}, "main.py has another sha256"),
            ({"main.py": {"mode": 0o600}}, "main.py has another mode"),
            ({"main.py": {"error": "Input/output error"}}, "main.py cannot be read: Input/output error"),
            ({"main.py": None}, "main.py is missing"),
            ({"src": {"kind": "file"}}, "src is a file, not a dir"),
            ({"link": {"target": "other"}}, "link has another target"),
            ({"new": {"kind": "file", "size": 0, "sha256": "", "mode": 0}}, "new was not listed"),
            ({"/var/lib/a/log.jsonl": {"sha256": "x"}}, "/var/lib/a/log.jsonl has another sha256"),
        ],
    )
    def test_each_difference_is_damage_and_named(self, change, sentence):
        assert compared(change) == ([sentence], [])

    def test_what_lies_beside_the_agents_own_files_is_nobodys_business(self):
        assert compared({"/var/lib/a/cache": {"kind": "file", "size": 0, "sha256": "", "mode": 0}}) == (
            [],
            [],
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"main.py": {"sha256": "x", "mtime_ns": LISTED_NS + SECOND // 2}},
            {"new": {"kind": "file", "size": 0, "sha256": "", "mode": 0, "mtime_ns": LISTED_NS}},
            {"main.py": None, "": {"kind": "root", "mtime_ns": LISTED_NS}},
        ],
    )
    def test_what_a_program_wrote_between_listing_and_snapshot_is_none(self, change):
        damaged, moved_on = compared(change)

        assert (damaged, len(moved_on)) == ([], 1)

    def test_what_was_written_later_than_the_snapshot_is_damage(self):
        changed = {"main.py": {"sha256": "x", "mtime_ns": LISTED_NS + 2 * SECOND}}

        assert compared(changed) == (["main.py has another sha256"], [])


class TestRoots:
    def test_they_are_the_topmost_directories_outside_the_workspace(self):
        entries = [{"path": path} for path in ("a/b", "/root/.x/p/one", "/root/.x/p/q/two", "/var/log")]

        assert roots(entries) == ["/root/.x/p", "/var"]


class TestTold:
    def test_of_many_the_first_are_named(self):
        assert told([str(number) for number in range(8)]) == "0; 1; 2; 3; 4, and 3 more"
