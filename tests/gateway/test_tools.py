"""Tool calls in conversations and answers of all three APIs: complete, in time, of bounded size, whatever comes."""

import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.triggers import risks
from gateway import tools
from gateway.dialects.base import Meter
from gateway.dialects.chat import CHAT
from gateway.dialects.messages import MESSAGES
from gateway.dialects.responses import RESPONSES
from gateway.dialects.tools import ARGUMENTS_CHARACTERS_MAX, ToolCall, arguments_of
from tests.gateway.provider import STREAM
from tests.gateway.provider_openai import CHAT_STREAM, RESPONSE_STREAM
from tests.gateway.toolcalls import chat_stream, messages_stream, responses_stream

BASH = ToolCall("toolu_1", "Bash", {"command": "rm -rf build"})
READ = ToolCall("toolu_2", "Read", {"file_path": "a.py"})
Streaming = Callable[..., list[bytes]]


def meter(dialect: str, *, streams: bool = True) -> Meter:
    bodies: dict[str, tuple[Any, dict[str, Any]]] = {
        "messages": (MESSAGES, {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": []}),
        "chat": (CHAT, {"model": "gpt-4o", "messages": []}),
        "responses": (RESPONSES, {"model": "gpt-5", "input": "x"}),
    }
    kind, body = bodies[dialect]
    made: Meter = kind.read(json.dumps({**body, "stream": streams}).encode()).meter(streams=streams)
    return made


STREAMS = {"messages": messages_stream, "chat": chat_stream, "responses": responses_stream}


def heard(events: list[bytes], cuts: list[int], dialect: str) -> list[ToolCall]:
    """The tool calls of a stream that arrives cut like this."""
    whole, reading, found = b"".join(events), meter(dialect), []
    for start, stop in pairwise([0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]):
        reading.feed(whole[start:stop])
        found += reading.tools.take()
    reading.end()
    return found + reading.tools.take()


@pytest.mark.parametrize("dialect", STREAMS)
class TestStreams:
    @given(cuts=st.lists(st.integers(0, 5000), max_size=20))
    def test_it_does_not_matter_how_the_stream_is_cut(self, dialect: str, cuts: list[int]) -> None:
        found = heard(STREAMS[dialect](BASH, READ), cuts, dialect)
        named = [(call.name, call.arguments) for call in found]
        assert sorted(set(map(str, named))) == sorted(str(call[1:3]) for call in (BASH, READ))

    def test_each_is_known_before_what_completes_it_is_passed_on(self, dialect: str) -> None:
        """What an agent has seen by then is no whole call."""
        reading, seen = meter(dialect), b""
        for event in STREAMS[dialect](BASH, READ):
            passed = reading.feed(event)
            if reading.tools.take():
                break
            seen += passed
        assert heard([seen], [], dialect) == []

    def test_an_answer_without_tools_has_none(self, dialect: str) -> None:
        stream = {"messages": STREAM, "chat": CHAT_STREAM, "responses": RESPONSE_STREAM}[dialect]
        assert heard([stream], [1, 50, 300], dialect) == []

    def test_arguments_that_are_no_json_are_kept_as_they_were_written(self, dialect: str) -> None:
        broken = BASH._replace(arguments='{"command": "rm -rf bui')
        (found,) = {call.arguments for call in heard(STREAMS[dialect](broken), [], dialect)}
        assert found == broken.arguments

    def test_long_ones_are_cut_off(self, dialect: str) -> None:
        long = BASH._replace(arguments={"command": "rm -rf x " + "y" * 10 * ARGUMENTS_CHARACTERS_MAX})
        call = heard(STREAMS[dialect](long), [], dialect)[0]
        assert "rm -rf x" in tools.command_of(call)
        assert len(str(call.arguments)) < 2 * ARGUMENTS_CHARACTERS_MAX or dialect == "responses"

    @given(noise=st.binary(max_size=200), at=st.integers(0, 10))
    def test_noise_breaks_nothing(self, dialect: str, noise: bytes, at: int) -> None:
        events = STREAMS[dialect](BASH)
        heard([*events[:at], noise, b"\n\n", *events[at:]], [], dialect)

    def test_what_is_no_object_breaks_nothing(self, dialect: str) -> None:
        reading = meter(dialect)
        for odd in (b"[]", b"5", b'{"index": {}}', b'{"choices": [5, {"delta": {"tool_calls": [5]}}]}',
                    b'{"type": "response.output_item.done", "item": 5}'):  # fmt: skip
            for name in (b"content_block_start", b"content_block_stop", b"x"):
                reading.feed(b"event: " + name + b"\ndata: " + odd + b"\n\n")
        assert reading.tools.take() == []


class TestCommands:
    """What of a call is searched for what may do harm."""

    @staticmethod
    def risk(arguments: Any) -> str:
        return risks.found(tools.command_of(BASH._replace(arguments=arguments)), ["usual"])

    def test_a_long_text_hides_no_other(self) -> None:
        assert self.risk({"pad": "x" * 50_000, "command": "rm -rf x"}) == "rm"
        assert self.risk({"pad": ["x" * 50_000], "more": {"pad": "y" * 20_000}, "last": "rm -rf x"}) == "rm"

    @pytest.mark.parametrize(
        "written",
        [
            r'{"command":"cd a\nrm -rf x",}',
            r'{"command":"cd a\trm -rf x", "description": "cut o',
            r'{"command":"cd a\u000arm\u0020-rf x"',
            r'{"command":"rm \\\n -rf x"',
            r'{"command":"echo \ud83d\ude00 \u0000; rm -rf x"',
        ],
    )
    def test_arguments_that_are_no_json_are_searched_as_they_are_meant(self, written: str) -> None:
        assert arguments_of(written) == written
        assert self.risk(written) == "rm"

    def test_a_command_that_is_no_object_is_searched_as_it_is(self) -> None:
        assert self.risk("rm -rf x") == "rm"
        assert "\0" not in tools.command_of(BASH._replace(arguments={"command": "rm -rf x\0"}))
        assert tools.command_of(BASH._replace(arguments=r"printf 'a\n'")) == r"printf 'a\n'"


class TestChat:
    def test_arguments_that_are_whole_are_told_before_the_end_is_said(self) -> None:
        """Some agents begin as soon as they can read them."""
        *events, _, _, _ = chat_stream(BASH)
        reading = meter("chat")
        for event in events:
            reading.feed(event)
        assert [call.name for call in reading.tools.take()] == ["Bash"]

    def test_what_grows_after_it_was_whole_is_told_again(self) -> None:
        empty, rest = chat_stream(BASH._replace(arguments="{}")), chat_stream(BASH)
        reading = meter("chat")
        reading.feed(b"".join(empty[:3]))
        reading.feed(b"".join(rest[3:]))
        assert len(reading.tools.take()) == 2


class TestWholeAnswers:
    @pytest.mark.parametrize(
        ("dialect", "body"),
        [
            ("messages", {"content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": BASH.arguments}]}),
            ("chat", {"choices": [{"message": {"tool_calls": [
                {"id": "toolu_1", "function": {"name": "Bash", "arguments": json.dumps(BASH.arguments)}}]}}]}),
            ("responses", {"output": [{"type": "function_call", "call_id": "toolu_1", "name": "Bash",
                                       "arguments": json.dumps(BASH.arguments)}]}),
        ],
    )  # fmt: skip
    def test_their_calls_are_known_before_the_last_byte_is_passed_on(
        self, dialect: str, body: dict[str, Any]
    ) -> None:
        reading, raw = meter(dialect, streams=False), json.dumps(body).encode()
        passed = reading.feed(raw[:40]) + reading.feed(raw[40:])
        assert reading.tools.take() == []
        kept = reading.end()
        assert kept
        assert passed + kept == raw
        assert reading.tools.take() == [BASH]


class TestConversations:
    """The last turn's calls that have a result: those have been executed."""

    def test_of_the_messages_api(self) -> None:
        use = [{"type": "tool_use", "id": str(n), "name": "Bash", "input": {"n": n}} for n in range(3)]
        results = [
            {"type": "tool_result", "tool_use_id": "0", "content": "ok"},
            {"type": "tool_result", "tool_use_id": "1", "content": "no", "is_error": True},
        ]
        before = [
            {"role": "assistant", "content": [{**use[0], "id": "old"}]},
            {"role": "user", "content": "x"},
        ]
        request = self.messages(
            [*before, {"role": "assistant", "content": use}, {"role": "user", "content": results}]
        )
        assert request.executed == [
            ToolCall("0", "Bash", {"n": 0}),
            ToolCall("1", "Bash", {"n": 1}, failed=True),
        ]

    def test_of_the_chat_api(self) -> None:
        made = {"id": "1", "type": "function", "function": {"name": "run", "arguments": '{"command": "ls"}'}}
        turns = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [made, {**made, "id": "2"}]},
            {"role": "tool", "tool_call_id": "1", "content": "ok"},
        ]
        request = CHAT.read(json.dumps({"model": "gpt-4o", "messages": turns}).encode())
        assert request.executed == [ToolCall("1", "run", {"command": "ls"})]

    def test_of_the_responses_api(self) -> None:
        def called(number: int) -> dict[str, Any]:
            return {"type": "function_call", "call_id": str(number), "name": "shell", "arguments": "{}"}

        def done(number: int) -> dict[str, Any]:
            return {"type": "function_call_output", "call_id": str(number), "output": "ok"}

        given_ = [
            {"role": "user", "content": "x"},
            called(1),
            done(1),
            called(2),
            called(3),
            done(2),
            done(3),
        ]
        request = RESPONSES.read(json.dumps({"model": "gpt-5", "input": given_}).encode())
        assert [call.id for call in request.executed] == ["2", "3"]

    def test_a_command_of_the_shell_tool_is_a_list_of_words(self) -> None:
        item = {
            "type": "local_shell_call",
            "call_id": "1",
            "action": {"type": "exec", "command": ["rm", "-rf", "x"]},
        }
        output = {"type": "local_shell_call_output", "call_id": "1", "output": "ok"}
        request = RESPONSES.read(json.dumps({"model": "gpt-5", "input": [item, output]}).encode())
        (call,) = request.executed
        assert "rm -rf x" in tools.command_of(call)

    @pytest.mark.parametrize("content", ["Hello", [{"type": "text", "text": "Hello"}]])
    def test_a_conversation_without_tools_has_none(self, content: object) -> None:
        turns = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "y"},
        ]
        assert self.messages(turns).executed == []

    def test_a_long_conversation_costs_no_more_than_its_last_turn(self) -> None:
        turn = [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "x" * 500}]},
        ]
        request = self.messages(turn * 2000)
        begun = time.process_time()
        for _ in range(1000):
            assert len(request.executed) == 1
        assert time.process_time() - begun < 0.1  # a thousand of them

    @staticmethod
    def messages(turns: list[dict[str, Any]]) -> Any:
        body = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": turns}
        return MESSAGES.read(json.dumps(body).encode())


class TestWhatTheyDo:
    @pytest.mark.parametrize(
        ("name", "arguments", "said"),
        [
            ("Write", {"file_path": "a.py", "content": "x"}, "Write a.py"),
            ("write_file", {"path": "a.py", "content": "x"}, "write_file a.py"),
            ("apply_patch", "*** Begin Patch", "apply_patch"),
            ("Bash", {"command": "make  test\n"}, "Bash make test"),
            ("run", {"command": "ls"}, "run ls"),
            ("str_replace_based_edit_tool", {"command": "view", "path": "a"}, ""),
            ("Read", {"file_path": "a.py"}, ""),
            ("TodoWrite", {"todos": []}, ""),
        ],
    )
    def test_which_may_have_written_files(self, name: str, arguments: Any, said: str) -> None:
        assert tools.wrote([ToolCall("1", name, arguments)]) == said

    def test_what_is_written_to_a_file_is_no_command(self) -> None:
        assert tools.command_of(ToolCall("1", "Write", {"file_path": "a.sh", "content": "rm -rf /"})) == ""

    def test_of_tools_that_nobody_knows_all_texts_count(self) -> None:
        call = ToolCall(
            "1", "mcp__db__query", {"sql": "DROP TABLE x", "options": {"notes": ["a", "b"], "n": 5}}
        )
        assert tools.command_of(call) == "DROP TABLE x\na b"

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_whatever_the_arguments_are_there_is_an_answer(self, arguments: Any) -> None:
        odd: dict[str, Any] = {"x": arguments}
        assert isinstance(tools.command_of(ToolCall("1", "x", odd)), str)
