"""What looks like a secret, and what only resembles one."""

import json
import time

import pytest

from gateway import redaction

SECRETS = {
    "a key of Anthropic's": "sk-ant-" + "api03-a1b2c3d4e5f6",
    "one of GitHub's": "ghp_" + "a1B2c3D4e5F6a1B2c3D4",
    "one of ours": "avm_" + "a1B2c3D4e5F6a1B2c3D4",
    "one of Amazon's": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "a mail address": "alice.b+c@mail.home.example",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "half a private key": "-----BEGIN PRIVATE KEY-----\nMIIEow",
}
IN_CONTEXT = {
    "a password": ("password = 'hunter2!'", "hunter2!"),
    "one in JSON": ('{"api_key": "letmein-please"}', "letmein-please"),
    "one in JSON in JSON": (json.dumps(json.dumps({"secret": "open-sesame"})), "open-sesame"),
    "a variable": ("export DB_PASSWORD=abc123def456", "abc123def456"),
    "an address with a login": ("postgres://me:pa55word@db:5432/x", "pa55word"),
    "a header": ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
}
HARMLESS = [
    "max_tokens: 2000, prompt_tokens=12345",
    "token = tokens.mint(machine)",
    "a task-management-system-for-teams",
    "@pytest.fixture on a@b",
    "https://example.com:8000/path?x=1",
    "The password is what you know; the secret: patience.",
]


class TestText:
    @pytest.mark.parametrize("kind", SECRETS)
    def test_a_secret_is_left_out(self, kind):
        assert redaction.text(f"before {SECRETS[kind]}") == "before [redacted]"

    @pytest.mark.parametrize("kind", IN_CONTEXT)
    def test_what_is_called_a_secret_is_left_out_and_what_it_is_called_stays(self, kind):
        said, secret = IN_CONTEXT[kind]

        assert redaction.text(said) == said.replace(secret, "[redacted]")

    @pytest.mark.parametrize("said", HARMLESS)
    def test_what_is_no_secret_stays(self, said):
        assert redaction.text(said) == said

    def test_twice_is_the_same_as_once(self):
        said = " ".join([*SECRETS.values(), *(text for text, _ in IN_CONTEXT.values())])
        once = redaction.text(said)

        assert redaction.text(once) == once

    @pytest.mark.parametrize(
        "unit", ["a", "eyJaaaaaaaaaa.", "-----BEGIN A-----", "token=a1", "://a:", "sk-", "Bearer a1 "]
    )
    def test_a_megabyte_made_to_be_slow_is_not(self, unit):
        began = time.process_time()
        redaction.text(unit * (1024**2 // len(unit)))

        assert time.process_time() - began < 2


class TestBody:
    @pytest.mark.parametrize("kind", SECRETS)
    @pytest.mark.parametrize("before", ["", "\n", "é", '"', "\\"])
    def test_json_stays_json(self, kind, before):
        body = json.dumps({"text": [f"{before}{SECRETS[kind]}", "after"]})

        text, after = json.loads(redaction.body(body.encode()))["text"]
        assert (text, after) == (f"{before}[redacted]", "after")

    def test_images_and_documents_are_left_out(self):
        body = {
            "image": {"type": "base64", "data": 'QUJ"D'},
            "url": {"url": "data:image/png;base64,QUJD"},
            "file": {"file_data": "QUJD"},
        }

        assert json.loads(redaction.body(json.dumps(body).encode())) == {
            "image": {"type": "base64", "data": "[left out]"},
            "url": {"url": "[left out]"},
            "file": {"file_data": "[left out]"},
        }


def chat(index: int, content: str) -> bytes:
    delta = {"choices": [{"index": index, "delta": {"content": content}}]}
    return f"data: {json.dumps(delta)}\n\n".encode()


class TestEvents:
    def test_a_secret_that_is_spread_over_events_is_left_out(self):
        key = SECRETS["one of GitHub's"]
        stream = chat(0, f"Here: {key[:9]}") + chat(0, key[9:]) + chat(0, " and so on") + b"data: [DONE]\n\n"

        after = [event for _, event in redaction.events(stream)]

        spoken = [json.loads(event[6:])["choices"][0]["delta"]["content"] for event in after[:-1]]
        assert spoken == ["Here: [redacted]", "", " and so on"]
        assert after[-1] == b"data: [DONE]\n\n"

    def test_what_several_choices_say_is_not_mixed_up(self):
        stream = chat(0, "alice") + chat(1, "@home.example")

        assert b"redacted" not in b"".join(event for _, event in redaction.events(stream))

    def test_it_is_known_how_long_each_was(self):
        stream = chat(0, "one") + b"event: ping\r\ndata: {}\r\n\r\n" + b"data: cut o"

        assert sum(size for size, _ in redaction.events(stream)) == len(stream)

    def test_many_secrets_in_many_events_take_no_longer(self):
        """Every secret looked at for every event takes minutes."""
        stream = b"".join(chat(0, f"a{number}@example.org and ") for number in range(12_000))
        began = time.process_time()
        safe = b"".join(event for _, event in redaction.events(stream))
        assert b"example.org" not in safe
        assert safe.count(redaction.REDACTED.encode()) == 12_000
        assert time.process_time() - began < 5
