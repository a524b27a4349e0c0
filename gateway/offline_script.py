"""What the offline model plays: FizzBuzz with a mistake that its own test finds, changes to it, and a note for
everything else. Pure functions from a request to content blocks; ids, usage and the wire are `gateway.offline`'s.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway import offline_fizzbuzz as fizzbuzz

Block = dict[str, Any]
LABEL = "[offline model] (No real model was asked.)"
RUN_TESTS = "python3 -m unittest -v test_fizzbuzz"
# What clients say by themselves to have a task continued: no new task.
NUDGES = ("Your answer was cut off", "Go on where you left off")


def play(body: dict[str, Any]) -> list[Block]:
    """The next turn of the conversation in a request."""
    talk = Talk.read(body)
    if schema := _schema(body):
        return [{"type": "text", "text": json.dumps(_conform(schema, f"{LABEL} {talk.prompt[:60]}"))}]
    if not talk.tools.can_run:
        return [_say(_toolless(talk))]
    if "fizz" in talk.prompt.lower() or "buzz" in talk.prompt.lower():
        return _change_fizzbuzz(talk) if talk.is_change else _write_fizzbuzz(talk)
    return _leave_a_note(talk)


# --- reading the request


@dataclass(frozen=True)
class Tools:
    """The client's tools, by what they do."""

    names: frozenset[str]
    directory: str

    @property
    def can_run(self) -> bool:
        return bool(self.names & {"run", "Bash"})

    def run(self, command: str, *, why: str) -> Block:
        if "run" in self.names:
            return _call("run", command=command)
        return _call("Bash", command=command, description=why)

    def write(self, path: str, content: str, *, plainly: bool = False) -> Block:
        """Write a file; `plainly` through the shell, for clients whose tool refuses to write over a file."""
        if "write_file" in self.names and not plainly:
            return _call("write_file", path=path, content=content)
        if "Write" in self.names and not plainly:
            return _call("Write", file_path=f"{self.directory}/{path}", content=content)
        return self.run(f"cat > {path} <<'END_OF_FILE'\n{content}END_OF_FILE", why=f"Write {path}")


@dataclass(frozen=True)
class Talk:
    """Where a conversation stands: what was asked last, and what has been done about it since."""

    tools: Tools
    system: str
    prompt: str
    before: str  # all that was said before the prompt, as text
    results: tuple[str, ...]  # of each step taken since the prompt
    write_failed: bool  # the last attempt at a step was a file tool that refused

    @property
    def is_change(self) -> bool:
        words = re.search(r"\b(now|instead|change|make it)\b", self.prompt, re.IGNORECASE)
        return bool(fizzbuzz.numbers_in(self.prompt)) and bool(words or "fizzbuzz" in self.before.lower())

    @classmethod
    def read(cls, body: dict[str, Any]) -> "Talk":
        messages = [one for one in body.get("messages") or [] if one.get("role") in ("user", "assistant")]
        prompts = [n for n, one in enumerate(messages) if one["role"] == "user" and _prompt(one)]
        last = prompts[-1] if prompts else 0
        system = _text(body.get("system") or "") + "".join(map(_spoken, body.get("messages") or []))
        results, failed = _steps(messages[last:])
        return cls(
            tools=Tools(
                frozenset(one.get("name", "") for one in body.get("tools") or []), _directory(system)
            ),
            system=_text(body.get("system") or ""),
            prompt=_prompt(messages[last]) if prompts else "",
            before=json.dumps(messages[:last]),
            results=results,
            write_failed=failed,
        )


def _blocks(message: dict[str, Any]) -> list[Block]:
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if isinstance(block, dict))


def _spoken(message: dict[str, Any]) -> str:
    return "\n" + _text(_blocks(message))


def _prompt(message: dict[str, Any]) -> str:
    """What a person asked in a message; clients add reminders of their own, which do not count."""
    text = _text([block for block in _blocks(message) if block.get("type") == "text"])
    text = re.sub(r"<(system-reminder|[\w-]+-caveat)>.*?</\1>", "", text, flags=re.DOTALL).strip()
    return "" if text.startswith(NUDGES) else text


def _directory(said: str) -> str:
    """Where the client works now, if it says so: its file tool may want absolute paths."""
    found = re.findall(r"working directory: (/\S*)", said, re.IGNORECASE)
    return str(found[-1]).rstrip("/") if found else "/workspace"


def _steps(messages: list[dict[str, Any]]) -> tuple[tuple[str, ...], bool]:
    """The results of the steps taken. A file tool's refusal is no step: it is tried again, plainly."""
    names = {
        block["id"]: block["name"]
        for one in messages
        for block in _blocks(one)
        if block.get("type") == "tool_use"
    }
    results: list[str] = []
    failed = False
    for message in messages:
        for block in _blocks(message):
            if block.get("type") == "tool_result":
                failed = bool(block.get("is_error")) and names.get(block.get("tool_use_id", "")) in {
                    "Write",
                    "write_file",
                }
                if not failed:
                    results.append(_text(block.get("content") or ""))
    return tuple(results), failed


# --- the scripts


def _write_fizzbuzz(talk: Talk) -> list[Block]:
    rule = fizzbuzz.Rule(**fizzbuzz.numbers_in(talk.prompt))
    return _step(
        talk,
        ("I begin with fizzbuzz.py.", fizzbuzz.FILE, fizzbuzz.draft(rule)),
        ("Now the tests.", fizzbuzz.TEST_FILE, fizzbuzz.tests(rule)),
        ("Let us see whether they pass.", RUN_TESTS),
        (
            "The order of the checks is wrong: no number ever gets to FizzBuzz.",
            fizzbuzz.FILE,
            fizzbuzz.program(rule),
        ),
        ("Once more.", RUN_TESTS),
    )


def _change_fizzbuzz(talk: Talk) -> list[Block]:
    found = fizzbuzz.rule_in(talk.results[0]) if talk.results else None
    rule = fizzbuzz.Rule(**{**vars(found or fizzbuzz.Rule()), **fizzbuzz.numbers_in(talk.prompt)})
    seen = "I know the program now." if found else "There is none that I know, so I write it anew."
    return _step(
        talk,
        ("First a look at what is there.", f"cat {fizzbuzz.FILE} {fizzbuzz.TEST_FILE}"),
        (f"{seen} Fizz is to be at {rule.fizz}, buzz at {rule.buzz}.", fizzbuzz.FILE, fizzbuzz.program(rule)),
        ("The tests have to know, too.", fizzbuzz.TEST_FILE, fizzbuzz.tests(rule)),
        ("Let us see whether they pass.", RUN_TESTS),
    )


def _leave_a_note(talk: Talk) -> list[Block]:
    asked = "\n".join(f"> {line}" for line in talk.prompt.splitlines()[:40])
    note = (
        f"# NOTES\n\nThe offline model wrote this: no key for a real model is set. It was asked:\n\n{asked}\n"
    )
    return _step(
        talk,
        ("I look around first.", "pwd; ls -la"),
        ("I can only play a script, so I leave a note.", "NOTES.md", note),
    )


def _step(talk: Talk, *script: tuple[str, ...]) -> list[Block]:
    """The next step of a script: a text, and a command, or a file and its content; after the last, the end."""
    done = len(talk.results)
    if done >= len(script):
        return [_say(_ending(talk.results))]
    text, *what = script[done]
    if len(what) == 1:
        return [_say(text), talk.tools.run(what[0], why=text)]
    return [_say(text), talk.tools.write(what[0], what[1], plainly=talk.write_failed)]


def _ending(results: tuple[str, ...]) -> str:
    last = results[-1] if results else ""
    if re.search(r"^OK\b", last, re.MULTILINE):
        return "The program is there, its tests pass. Set a key for a real model to have real work done."
    if "Ran " in last or "not found" in last or "No module" in last:
        complaint = next((line for line in reversed(last.splitlines()) if line.strip()), "no output")
        return f"The tests did not pass here ({complaint.strip()[:200]}). I stop, as my script ends."
    return "I have done what my script says: NOTES.md is there. Set a key for a real model to have real work done."


def _toolless(talk: Talk) -> str:
    """For clients without tools: a commit message, a new file in Aider's edit format, or just a sentence."""
    if "commit message" in talk.system.lower():
        return "a change from the script"
    known = fizzbuzz.FILE in talk.before or fizzbuzz.FILE in talk.system
    if "SEARCH/REPLACE" in talk.system and "fizz" in talk.prompt.lower() and not known:
        content = fizzbuzz.program(fizzbuzz.Rule(**fizzbuzz.numbers_in(talk.prompt)))
        block = f"{fizzbuzz.FILE}\n```python\n<<<<<<< SEARCH\n=======\n{content}>>>>>>> REPLACE\n```"
        return f"A new file:\n\n{block}\n"
    return "I can only play a script, and it has nothing for this. Nothing was changed."


def _say(text: str) -> Block:
    return {"type": "text", "text": f"{LABEL} {text}"}


def _call(name: str, **arguments: str) -> Block:
    return {"type": "tool_use", "id": "", "name": name, "input": arguments}


# --- answers in a given shape


def _schema(body: dict[str, Any]) -> Any:
    shape = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return shape.get("schema") if shape.get("type") == "json_schema" else None


def _conform(schema: Any, text: str) -> Any:
    """Some value that fits a JSON schema, with the label in its texts."""
    rules = schema if isinstance(schema, dict) else {}  # true allows anything
    if isinstance(choices := rules.get("enum"), list) and choices:
        return choices[0]
    kind, properties = rules.get("type"), rules.get("properties")
    if kind == "object":
        named = properties if isinstance(properties, dict) else {}
        return {key: _conform(one, text) for key, one in named.items()}
    values: dict[Any, Any] = {"array": [], "boolean": False, "integer": 0, "number": 0, "null": None}
    return values.get(kind, text) if isinstance(kind, str) else text
