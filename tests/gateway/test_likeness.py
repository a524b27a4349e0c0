"""Two requests that say the same, though no two runs are alike to the byte."""

import json
from typing import Any

import pytest

from gateway import likeness

NAMES = ["m12", "10001", "m13", "10002"]
SAME = {
    "ids": ("toolu_01AbCdEfGh", "toolu_01ZyXwVuTs"),
    "uuids": ("6f1c9f0e-0d3a-4c6e-9a47-1d2f3c4b5a69", "0d3a9f0e-6f1c-4c6e-9a47-1d2f3c4b5a69"),
    "commits": ("[main 3fa9c41] fix", "[main 1234567] fix"),
    "times": ("at 14:02:11 on 2031-05-06T14:02:11.123Z", "at 9:10 on 2032-01-31T00:00:00Z"),
    "dates in words": ("Today is Tuesday, May 6, 2031.", "Today is Sunday, November 23, 2026."),
    "listings": ("-rw-r--r-- 1 root root 12 May  6 14:02 a.py", "-rw-r--r-- 1 root root 12 Nov 23 09:10 a.py"),
    "durations": ("Ran 2 in 0.003s; took 12 ms; real 0m0.120s", "Ran 2 in 1.402s; took 9 ms; real 1m2.000s"),
    "temporary files": ("wrote /tmp/tmpab12/out.txt", "wrote /tmp/tmpzz99/out.txt"),
    "the machine's names": ("root@m12:/guests/10001/workspace", "root@m13:/guests/10002/workspace"),
    "ports": ("http://127.0.0.1:45123/x", "http://127.0.0.1:8000/x"),
    "processes": ("started, pid 4711", "started, pid 12"),
    "addresses in memory": ("<object at 0x7f31510358b0>", "<object at 0x7f9f00aa1230>"),
    "secrets": ("password='first-one'", "password='another-one'"),
}  # fmt: skip
DIFFERENT = {
    "words": ("OK", "FAILED"),
    "small numbers": ("Ran 2 tests", "Ran 3 tests"),
    "other files": ("/workspace/a.py", "/workspace/b.py"),
}


def request(text: str = "Go", **more: Any) -> bytes:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return json.dumps({"model": "m", "max_tokens": 5, "messages": messages, **more}).encode()


class TestNormal:
    @pytest.mark.parametrize("kind", SAME)
    def test_these_make_no_difference(self, kind):
        first, second = (likeness.normal(request(text), NAMES) for text in SAME[kind])

        assert first == second

    @pytest.mark.parametrize("kind", DIFFERENT)
    def test_these_do(self, kind):
        first, second = (likeness.normal(request(text), NAMES) for text in DIFFERENT[kind])

        assert first != second

    def test_nor_does_what_is_for_the_providers_books(self):
        more = {
            "metadata": {"user_id": "x"},
            "max_tokens": 9,
            "service_tier": "auto",
            "prompt_cache_key": "k",
        }
        marked = {
            "role": "user",
            "content": [{"type": "text", "text": "Go", "cache_control": {"type": "ephemeral"}}],
        }

        assert likeness.normal(request(**more, messages=[marked]), NAMES) == likeness.normal(request(), NAMES)

    def test_what_the_agent_wants_does(self):
        assert likeness.normal(request(tools=[{"name": "run"}]), NAMES) != likeness.normal(request(), NAMES)


class TestShape:
    def test_it_is_the_same_for_the_same_turns_whatever_they_say(self):
        assert likeness.shape(json.loads(request("one"))) == likeness.shape(json.loads(request("two")))

    @pytest.mark.parametrize(
        "more",
        [{"stream": True}, {"tools": [{"name": "run"}]}, {"messages": []}, {"input": [], "messages": None}],
    )
    def test_it_differs_where_requests_cannot_be_the_same(self, more):
        assert likeness.shape(json.loads(request(**more))) != likeness.shape(json.loads(request()))


class TestDifference:
    def difference(self, recorded: bytes, sent: bytes) -> str:
        return likeness.difference(likeness.normal(recorded, []), likeness.normal(sent, []))

    def test_there_is_none_between_equals(self):
        assert self.difference(request(), request()) == ""

    def test_it_names_the_place_and_shows_both(self):
        said = self.difference(
            request("All of it is well: OK, 3 passed"), request("All of it is well: FAILED")
        )

        assert said == (
            "messages.0.content.0.text reads “All of it is well: FAILED”; "
            "in the record “All of it is well: OK, 3 passed”"
        )

    def test_of_long_texts_it_shows_where_they_part(self):
        said = self.difference(
            request("x " * 500 + "this" + " y" * 500), request("x " * 500 + "that" + " y" * 500)
        )

        assert len(said) < 250
        assert "that y" in said
        assert "this y" in said

    def test_what_is_missing_or_new_is_said_to_be_so(self):
        assert self.difference(request(), request(tools=[{"name": "run"}])) == (
            'tools is “[{"name": "run"}]”; in the record it is missing'
        )
        assert "messages.0 is missing; in the record it is" in self.difference(
            request(), request(messages=[])
        )
