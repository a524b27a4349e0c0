"""The guests' door: reports come in, whatever they hold."""

import time
from uuid import uuid4

import pytest
import requests

from machines.models import LogLine, Machine

pytestmark = pytest.mark.django_db(transaction=True)


def report(gateway: str, token: str, content: bytes | dict[str, object]) -> requests.Response:
    body = {"data": content} if isinstance(content, bytes) else {"json": content}
    headers = {"authorization": f"Bearer {token}"}
    return requests.post(f"{gateway}/guest/v1/report", headers=headers, timeout=10, **body)  # type: ignore[arg-type]


class TestReport:
    def test_it_is_taken_and_answered(self, gateway: str, token: str, machine: Machine) -> None:
        machine.run = uuid4()
        machine.save()
        sent = {"run": str(machine.run), "lines": [[1, time.time(), "out", "hello"]]}
        answer = report(gateway, token, sent)
        assert (answer.status_code, answer.json()) == (200, {"stop": False})
        assert LogLine.objects.get().text == "hello"

    def test_it_is_refused_when_it_is_too_large(self, gateway: str, token: str) -> None:
        answer = report(gateway, token, b" " * (1024**2 + 1))
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"run": 5}', b"\xff", b"[" * 100_000])
    def test_it_is_refused_when_it_cannot_be_read(self, gateway: str, token: str, content: bytes) -> None:
        assert report(gateway, token, content).status_code == 400

    @pytest.mark.parametrize("number", [-1, 2**31, 99_999_999_999, 1e300])
    def test_a_line_has_to_have_a_number_that_lines_can_have(
        self, gateway: str, token: str, machine: Machine, number: float
    ) -> None:
        sent = {"run": str(uuid4()), "lines": [[number, time.time(), "out", "hello"]]}
        answer = report(gateway, token, sent)
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            400,
            "A log line is [number, unix time, out|err|sys, text].",
        )

    def test_no_text_of_a_guest_is_more_than_the_database_can_take(
        self, gateway: str, token: str, machine: Machine
    ) -> None:
        machine.run = uuid4()
        machine.save()
        ended = {"exit_code": 1, "sentence": "a\x00b\ud800"}
        lines = [[2**31 - 1, time.time(), "out", "a\x00b\ud800"]]
        sent = {"run": str(machine.run), "lines": lines, "ended": ended}
        assert report(gateway, token, sent).status_code == 200
        machine.refresh_from_db()
        assert (machine.sentence, LogLine.objects.get().text) == ("a\ufffdb\ufffd", "a\ufffdb\ufffd")

    def test_it_is_refused_from_a_stranger(self, gateway: str) -> None:
        assert report(gateway, "guess", {"run": str(uuid4())}).status_code == 401
