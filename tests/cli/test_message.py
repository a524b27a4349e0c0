"""Saying something to an agent from the command line."""

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded, machine, page

SAID = {
    "id": 1,
    "author": "alice",
    "text": "Buzz at 7.",
    "state": "pending",
    "told": "Its agent hears it when it ends its turn.",
    "created_at": "2031-05-06T12:00:00Z",
}


class TestMessage:
    def test_it_is_sent_and_told_when_it_will_be_heard(self, cli: Cli, server: Recorded) -> None:
        server.answer("POST machines/m12/message/", SAID, status=202)

        done = cli("message", "m12", "Buzz at 7.")

        (asked,) = server.requests("POST machines/m12/message/")
        assert asked.body == {"text": "Buzz at 7.", "now": False}
        assert (done.returncode, done.stdout) == (0, "Said. Its agent hears it when it ends its turn.\n")

    def test_now_interrupts(self, cli: Cli, server: Recorded) -> None:
        server.answer("POST machines/m12/message/", SAID, status=202)

        cli("message", "m12", "--now", "-", stdin="Stop.")

        (asked,) = server.requests("POST machines/m12/message/")
        assert asked.body == {"text": "Stop.", "now": True}

    def test_watching_stays_until_the_machine_rests(self, cli: Cli, server: Recorded) -> None:
        server.answer("POST machines/m12/message/", SAID, status=202)
        server.answer(
            "GET machines/m12/log/",
            page("resuming"),
            page("terminated", "alice said: Buzz at 7."),
            page("terminated", first=2),
        )
        ended = machine(state="terminated", sentence="The agent finished.")
        server.answer("GET machines/m12/", machine(state="resuming"), ended)

        done = cli("message", "m12", "Buzz at 7.", "--watch")

        assert done.returncode == 0
        assert "alice said: Buzz at 7." in done.stdout

    def test_what_was_said_is_told_the_oldest_first(self, cli: Cli, server: Recorded) -> None:
        later = {**SAID, "text": "And at 11.", "author": "bob"}
        server.answer("GET machines/m12/message/", {"results": [later, SAID], "next": None})

        said = cli("messages", "m12").stdout

        assert said.index("Buzz at 7.") < said.index("And at 11.")

    def test_a_refusal_is_told_in_its_words(self, cli: Cli, server: Recorded) -> None:
        server.refuse(
            "POST machines/m12/message/", 409, "Machine m12 is terminated: nobody is there to hear it."
        )

        done = cli("message", "m12", "Go.")

        assert (done.returncode, "nobody is there to hear it" in done.stderr) == (1, True)
