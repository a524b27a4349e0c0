"""A whole run played again from its record, in real processes: the same files, and nobody is asked for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from gateway import offline
from tests.e2e.stack import Stack, eventually
from tests.e2e.test_main_job import files
from tests.gateway import servers
from tests.gateway.provider import Provider

pytestmark = pytest.mark.e2e

SETTINGS: dict[str, str] = {}
PROMPT = "Write a fizzbuzz with tests and make them pass"
# An agent that never says the same twice.
UNSTEADY = """
python3 - <<'END'
import glob, json, os, random, re, sys, urllib.error, urllib.request
(path,) = glob.glob(os.environ.get("GUEST_ROOT", "") + "/var/lib/autovibe/runs/*/settings.json")
token = re.search(r"avm_[\\w-]+", open(path).read())[0]
said = "".join(random.choice("ghijklmnop") for _ in range(30))
body = {"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": [{"role": "user", "content": said}]}
headers = {"authorization": "Bearer " + token, "content-type": "application/json"}
asked = urllib.request.Request("%s/v1/messages", json.dumps(body).encode(), headers)
try:
    print(urllib.request.urlopen(asked).status)
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code} {error.read().decode()}")
END
"""


async def scripted(request: web.Request) -> web.StreamResponse:
    """A provider that plays the offline model's script, so that a whole run can be had of it."""
    body: dict[str, Any] = await request.json()
    reply = {**await offline.respond(body), "model": body["model"]}
    if not body.get("stream"):
        return web.json_response(reply)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in offline.stream(reply):
        await response.write(piece)
    return response


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with servers.provider() as provider:
        provider.answer = scripted
        SETTINGS.update(ANTHROPIC_UPSTREAM_URL=provider.url, ANTHROPIC_API_KEY="a-key")
        yield provider


@pytest.fixture(scope="module")
def stack(provider: Provider, stack: Stack) -> Stack:
    return stack


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    handle = stack.spawn(PROMPT, files=[{"path": "given/a.txt", "content": "given\n"}])
    stack.await_state(handle, "terminated")
    return handle


def replay(stack: Stack, handle: str, **how: bool) -> str:
    made: str = stack.post(f"machines/{handle}/replay/", how)["handle"]
    return made


def sources(stack: Stack, checkpoint: str) -> dict[str, str]:
    """Its files, but for Python's own, which hold the time of their source."""
    found = files(stack, checkpoint)
    return {path: digest for path, digest in found.items() if not path.startswith("__pycache__/")}


def calls(stack: Stack, handle: str) -> list[dict[str, Any]]:
    return list(reversed(stack.get(f"machines/{handle}/calls/")["results"]))


@pytest.fixture(scope="module")
def again(stack: Stack, done: str) -> str:
    """The replay of that run."""
    handle = replay(stack, done)
    stack.await_state(handle, "terminated")
    return handle


@pytest.fixture(scope="module")
def unsteady(stack: Stack) -> str:
    handle = stack.spawn(UNSTEADY % stack.url, "shell")
    stack.await_state(handle, "terminated")
    eventually(lambda: calls(stack, handle)[0]["recorded"], what="the call to be recorded")
    return handle


class TestReplay:
    def test_it_ends_with_the_same_files(self, stack, done, again):
        ends = [sources(stack, stack.checkpoints(handle)[-1]["handle"]) for handle in (done, again)]

        assert ends[0] == ends[1]
        assert {"fizzbuzz.py", "test_fizzbuzz.py", "given/a.txt"} <= set(ends[1])

    def test_no_upstream_is_asked(self, stack, done, again, provider):
        assert len(provider.received) == len(calls(stack, done)) > 5

    def test_each_call_was_answered_by_its_own_and_cost_nothing(self, stack, done, again):
        made = calls(stack, again)

        assert [one["replayed"] for one in made] == [one["number"] for one in calls(stack, done)]
        assert {one["state"] for one in made} == {"done"}
        assert {one["cost_micros"] for one in made} == {0}
        assert stack.get(f"machines/{again}/")["spent_micros"] == 0
        stack.manage("ledger", "verify")


class TestDeparture:
    def test_the_machine_ends_as_failed_and_it_is_said_where(self, stack, unsteady):
        handle = replay(stack, unsteady)
        machine = eventually(
            lambda: (m := stack.get(f"machines/{handle}/"))["state"] == "failed" and m, what="it to fail"
        )

        assert machine["sentence"].startswith(
            f"Call 1 departs from call 1 of {unsteady}: messages.0.content reads"
        )

    def test_with_lenience_it_goes_on(self, stack, unsteady):
        handle = replay(stack, unsteady, lenient=True)
        stack.await_state(handle, "terminated")

        (made,) = calls(stack, handle)
        assert "messages.0.content reads" in made["departure"]
