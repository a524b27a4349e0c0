"""The real Claude Code, unmodified, through whole sessions: work done, every call paid for exactly, a budget's end."""

import pytest

from gateway.exchange import LANDING
from tests.acceptance import script
from tests.acceptance.replaying import answered_by, replayed
from tests.acceptance.session import Provider, Session
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

AGENT = "claude-code"
CALLS = 6  # what the script takes
# A call takes some 24,000 tokens, and may take 100,000 for all that is known before its session is: its bytes.
# This is enough for four calls, and the last has to break into the half that is kept for wrapping up.
LAST_TOKENS = 140_000


class TestSession:
    @pytest.fixture(scope="class")
    def session(self, stack: Stack, provider: Provider) -> Session:
        return Session(stack, provider, AGENT).ends()

    def test_a_file_is_edited_its_tests_are_run_and_a_commit_is_made(self, session):
        assert "return a + b" in session.read("calc.py")
        assert "FAILED" in session.log
        assert "OK" in session.log.partition("FAILED")[2]
        assert script.MESSAGE in session.read(".git/logs/HEAD")

    def test_every_call_is_on_the_ledger_with_exact_tokens_and_money(self, session):
        assert session.ledger.total() == CALLS
        assert session.ledger == session.books
        cached = [line.cached_tokens for line in session.ledger]
        assert 0 in cached  # the first call fills the cache …
        assert any(cached)  # … for those after it

    def test_nothing_stays_held(self, stack, session):
        assert session.held == 0
        stack.manage("ledger", "verify")  # raises when the sums do not agree

    def test_it_can_be_replayed_and_nobody_is_asked(self, provider, session):
        asked = len(provider.books())
        again = replayed(session)

        assert answered_by(session, again) == list(range(1, CALLS + 1))
        assert len(provider.books()) == asked

    def test_a_checkpoint_is_around_every_call(self, stack, session):
        assert len(stack.checkpoints(session.handle)) == CALLS + 1


class TestEndOfTheBudget:
    def test_it_is_paused_with_the_reason_and_when_there_is_more_it_finishes_and_is_told_to_wrap_up(
        self, stack, provider
    ):
        session = Session(stack, provider, AGENT, limits={"calls": 2})

        machine = stack.await_state(session.handle, "paused")
        assert machine["paused_for"] == "budget"
        assert "calls" in machine["sentence"]
        assert len(session.requests) == 2  # the third was refused before anybody was asked

        session.is_limited("tokens", LAST_TOKENS, landing_percent=50)
        session.is_given("calls", 50)
        session.ends()
        assert (
            f"API Error: 402 {machine['sentence']}" in session.log
        )  # it may be frozen before it has said so

        assert LANDING not in str(session.requests[1])
        assert LANDING in str(session.requests[-1])
        assert "return a + b" in session.read("calc.py")
        assert script.MESSAGE in session.read(".git/logs/HEAD")
        assert (session.ledger.total(), session.ledger) == (CALLS, session.books)
        assert session.held == 0
