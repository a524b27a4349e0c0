"""“Copy as”: what a page does, as a command and as curl. Both are made of the command line's own table of verbs."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from django.conf import settings
from django.http import HttpRequest

from budgets import money
from checkpoints.models import Checkpoint
from machines.models import Machine
from projects.errors import Invalid

FILE = settings.BASE_DIR / "cli" / "autovibe_cli" / "verbs.json"
PROMPT = "What the agent is to do now"
TITLES = {
    "checkpoint": "Take a checkpoint now",
    "pause": "Pause it",
    "resume": "Resume it",
    "terminate": "Terminate it",
}
# What the form calls them, and the short form of the same policy.
KEEPING = {"call": "every_call", "none": "none"}


@dataclass(frozen=True)
class Copied:
    """One thing that a page does, to be pasted elsewhere."""

    id: str
    title: str
    command: str
    curl: str


class Given(NamedTuple):
    """A value that is typed in another way than the API takes it."""

    typed: str
    sent: Any


def of_machine(request: HttpRequest, machine: Machine, verbs: Iterable[str]) -> list[Copied]:
    """Looking at a machine, and the verbs that the page offers."""
    named = {"machine": machine.handle}
    looking = {"machine.show": "Show it", "logs": "Its log", "checkpoints": "Its checkpoints"}
    asking = {verb: TITLES[verb] for verb in verbs if verb in TITLES}
    return [_copied(request, verb, title, named) for verb, title in {**looking, **asking}.items()]


def of_checkpoint(
    request: HttpRequest, checkpoint: Checkpoint, *, operable: bool, spawns: bool, returnable: bool
) -> list[Copied]:
    """Reading a checkpoint, and what the page offers to do with it."""
    named = {"checkpoint": checkpoint.handle, "prompt": PROMPT}
    wanted = {"checkpoint.show": "Show it", "files": "Its files"}
    if checkpoint.parent:
        named["before"] = checkpoint.parent.handle
        wanted["diff"] = f"What changed since {checkpoint.parent.handle}"
    if spawns and checkpoint.usable:
        wanted["branch"] = "Branch from it"
    if operable:
        wanted["checkpoint.unpin" if checkpoint.pinned else "checkpoint.pin"] = (
            "Pin it no more" if checkpoint.pinned else "Pin it"
        )
        if checkpoint.usable:
            wanted["checkpoint.verify"] = "Verify it"
    if returnable:
        named["machine"] = checkpoint.handle.rpartition(".")[0]
        wanted["rollback"] = f"Roll {named['machine']} back to it"
    return [_copied(request, verb, title, named) for verb, title in wanted.items()]


def of_fleet(request: HttpRequest, *, project: str, states: Iterable[str]) -> list[Copied]:
    """The list as it is filtered."""
    options = {"project": project, "state": ",".join(sorted(states))}
    return [_copied(request, "machines", "This list", {}, options)]


def of_form(request: HttpRequest, form: Mapping[str, Any], source: Checkpoint | None) -> list[Copied]:
    """What sending the form of a new machine does; without its files, which a command takes from elsewhere."""
    named = {name: str(form.get(name) or "") for name in ("project", "type", "prompt")}
    if not source and not all((named["project"], named["type"])):
        return []
    named["prompt"] = named["prompt"] or PROMPT
    options: dict[str, Any] = {
        "checkpoint": "" if source else form.get("checkpoint"),
        "type": named["type"],
        "network": form.get("network"),
        "checkpoints": KEEPING.get(str(form.get("keeping"))),
        "limits.money": _cap(str(form.get("cap") or "")),
    }
    if source:
        named["checkpoint"] = source.handle
        return [_copied(request, "branch", f"Branch from {source.handle}", named, options)]
    return [_copied(request, "spawn", "Spawn it", named, options)]


def _cap(typed: str) -> Given | None:
    try:
        return Given(typed, money.parse(typed))
    except Invalid:  # none, or the form says what is wrong with it
        return None


@cache
def _table() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))}


def _copied(
    request: HttpRequest,
    verb: str,
    title: str,
    named: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
) -> Copied:
    row = _table()[verb]
    flags = row.get("options", {})
    given = {name: value for name, value in (options or {}).items() if value and name in flags}
    words = [word.format(**named) for word in row["command"].split()]
    for name, value in given.items():
        words += [flags[name], value.typed if isinstance(value, Given) else value]
    sent = {name: value.sent if isinstance(value, Given) else value for name, value in given.items()}
    return Copied(
        id=f"copy-{verb.replace('.', '-')}",
        title=title,
        command=shlex.join(["autovibe", *words]),
        curl=_curl(request, row, named, sent),
    )


def _curl(
    request: HttpRequest, row: Mapping[str, Any], named: Mapping[str, str], sent: Mapping[str, Any]
) -> str:
    method, reads = row["method"], row["method"] == "GET"
    path, _, query = row["path"].partition("?")
    path = path.format(**{name: quote(value, safe="") for name, value in named.items()})
    pairs = [pair.split("=") for pair in query.split("&") if pair]
    asked = {name: value.format(**named) for name, value in pairs} | (dict(sent) if reads else {})
    address = request.build_absolute_uri(f"/api/v1/{path}") + (f"?{urlencode(asked)}" if asked else "")
    body = {} if reads else _body(row.get("body", {}), named, sent)
    words = ["-X", method] if not reads and (method != "POST" or not body) else []
    words += [address, *(["--json", json.dumps(body, ensure_ascii=False)] if body else [])]
    return f'curl -H "Authorization: Bearer $AUTOVIBE_TOKEN" {shlex.join(words)}'


def _body(template: Mapping[str, Any], named: Mapping[str, str], sent: Mapping[str, Any]) -> dict[str, Any]:
    """`limits.money` becomes `{"limits": {"money": …}}`."""
    body = {
        name: value.format(**named) if isinstance(value, str) else value for name, value in template.items()
    }
    for name, value in sent.items():
        outer, _, inner = name.partition(".")
        body[outer] = {inner: value} if inner else value
    return body
