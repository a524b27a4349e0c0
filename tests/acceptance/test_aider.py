"""The real Aider, unmodified, through whole sessions, by Anthropic's API and by both of OpenAI's."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance import script
from tests.acceptance.replaying import answered_by, replayed
from tests.acceptance.session import Provider, Session
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

AGENT = "aider"
CALLS = 5  # two attempts; a message for each of their commits, and for what was there before
# Aider runs the tests after each edit and sees to what fails. It looks for files in git only, and there is no git yet.
SETTINGS = f"file: [calc.py]\nedit-format: diff\nauto-test: true\ntest-cmd: {script.TESTS}\n"
FILES = [{"path": ".aider.conf.yml", "content": SETTINGS}]


@dataclass(frozen=True)
class Way:
    """A way for Aider to ask."""

    path: str
    type: str
    model: str
    models: frozenset[str]  # a second one writes commit messages, where Aider knows one


WAYS = {
    "messages": Way("/v1/messages", "aider", "claude-sonnet-4-5", frozenset({"claude-sonnet-4-5"})),
    "chat": Way("/v1/chat/completions", "aider-openai", "gpt-4o", frozenset({"gpt-4o", "gpt-4o-mini"})),
    "responses": Way("/v1/responses", "aider-openai", "responses/gpt-4o", frozenset({"gpt-4o"})),
}


def begin(name: str, stack: Stack, provider: Provider, **more: Any) -> Session:
    way = WAYS[name]
    return Session(stack, provider, way.type, model=way.model, files=FILES, **more)


@pytest.mark.parametrize(
    "way", ["messages", pytest.param("responses", marks=pytest.mark.whole)], scope="class"
)
class TestSession:
    @pytest.fixture(scope="class")
    def session(self, way: str, stack: Stack, provider: Provider) -> Session:
        return begin(way, stack, provider).ends()

    def test_a_file_is_edited_its_tests_are_run_and_a_commit_is_made(self, session):
        assert_work_is_done(session)

    def test_every_call_is_on_the_ledger_with_exact_tokens_and_money(self, way, session):
        assert_calls_are_exact(session, WAYS[way])

    def test_it_can_be_replayed_and_nobody_is_asked(self, provider, session):
        asked = len(provider.books())
        again = replayed(session)

        assert answered_by(session, again) == list(range(1, CALLS + 1))
        assert len(provider.books()) == asked

    def test_nothing_stays_held(self, stack, session):
        assert session.held == 0
        stack.manage("ledger", "verify")  # raises when the sums do not agree


@pytest.mark.whole  # Claude Code is seen at the end of its budget every time
class TestEndOfTheBudget:
    def test_it_is_paused_with_the_reason_and_finishes_when_there_is_more(self, stack, provider):
        session = begin("chat", stack, provider, limits={"calls": 3})

        machine = stack.await_state(session.handle, "paused")
        assert machine["paused_for"] == "budget"
        assert "calls" in machine["sentence"]
        assert len(session.requests) == 3  # the fourth was refused before anybody was asked

        session.is_given("calls", 50)
        session.ends()

        assert_work_is_done(session)
        assert_calls_are_exact(session, WAYS["chat"])
        assert session.held == 0


def assert_work_is_done(session: Session) -> None:
    assert "return a + b" in session.read("calc.py")
    assert "FAILED" in session.log
    assert "OK" in session.log.partition("FAILED")[2]
    assert script.MESSAGE in session.read(".git/logs/HEAD")


def assert_calls_are_exact(session: Session, way: Way) -> None:
    assert session.paths == {way.path}
    assert session.ledger.total() == CALLS
    assert session.ledger == session.books
    assert {line.model for line in session.ledger} == way.models
