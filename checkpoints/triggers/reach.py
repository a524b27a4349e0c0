"""Which commands and tools reach the world outside their guest, and how.

A command is known by how it begins. What a program of the agent's own does on the network, nobody sees here.
"""

import re
from collections.abc import Iterator

from checkpoints.models import Effect
from checkpoints.triggers.risks import COMMAND_CHARACTERS_MAX, compiled

Kind = Effect.Kind
SUMMARY_CHARACTERS_MAX = 250

# A program stands at the beginning of a command, or behind one that starts another.
_START = (
    r"(?:^|[;&|(`{\n]|\s-l?c\s+[\"']|\b(?:then|do|else|sudo|env|time|exec|nohup|xargs|command)\s|\btimeout\s+\S+\s)"
    r"\s*(?:-\S+\s+)*(?:\w+=\S*\s+)*"
)
_REST = r"[^\n;&|]*"
_COMMANDS: tuple[tuple[Kind, str], ...] = (
    (Kind.PUSH, r"(git|hg)(\s+-\S+(\s+[^\s-]\S*)?)*\s+push\b"),
    (Kind.PULL_REQUEST, r"(gh\s+pr|glab\s+mr)\s+(create|merge|close|reopen|comment|review|edit)\b"),
    (Kind.PUBLISH, r"(npm|yarn|pnpm|cargo|poetry|uv|flit|hatch)\s+publish\b"),
    (Kind.PUBLISH, r"(twine\s+upload|gem\s+push|helm\s+push|(docker|podman)\s+push|gh\s+release\s+create)\b"),
    (Kind.MESSAGE, r"(mail|mailx|sendmail|mutt|msmtp|swaks)\s"),
    (Kind.MESSAGE, r"(gh|glab)\s+issue\s+(create|comment|close|reopen|edit)\b"),
    (Kind.DEPLOY, rf"(kubectl|oc)\b{_REST}\s(apply|create|delete|replace|patch|scale|rollout|set|drain)\b"),
    (Kind.DEPLOY, r"helm\s+(install|upgrade|uninstall|rollback)\b"),
    (Kind.DEPLOY, rf"(terraform|tofu|pulumi)\b{_REST}\s(apply|destroy|up)\b"),
    (
        Kind.DEPLOY,
        rf"(aws|gcloud|az|doctl)\b{_REST}\s(deploy|create|delete|update|put|run|start|stop|terminate|cp|sync|rm|mb|rb)\b",
    ),
    (Kind.DEPLOY, r"(vercel|netlify|fly|flyctl|firebase|serverless|sls|wrangler|kamal)\s+(deploy|--prod)\b"),
    (Kind.DEPLOY, r"ansible(-playbook)?\s"),
    (Kind.REQUEST, rf"(ssh|scp|sftp)\s|rsync\s{_REST}\w:"),
    (Kind.REQUEST, rf"curl\s{_REST}(-X\s*|--request[\s=])[\"']?(POST|PUT|PATCH|DELETE)\b"),
    (Kind.REQUEST, rf"curl\s({_REST}\s)?(-[a-zA-Z]*[dFT]\b|--(data|form|json|upload-file))"),
    (Kind.REQUEST, rf"wget\s{_REST}--(post-\w+|body-\w+|method[\s=](POST|PUT|PATCH|DELETE))"),
    (Kind.REQUEST, r"https?\s+(POST|PUT|PATCH|DELETE)\s"),
)
_KNOWN = [(kind, compiled(f"{_START}({pattern}{_REST})")) for kind, pattern in _COMMANDS]
# Without one of these words nothing of the table is in a text.
_WORDS = compiled(
    r"\b(git|hg|gh|glab|publish|upload|push|mailx?|sendmail|mutt|msmtp|swaks|kubectl|oc|helm|terraform|tofu|pulumi|aws"
    r"|gcloud|az|doctl|vercel|netlify|fly|flyctl|firebase|serverless|sls|wrangler|kamal|ansible|ssh|scp|sftp|rsync"
    r"|curl|wget|https?)\b"
)
_CHAT = re.compile(r"hooks\.slack\.com|slack\.com/api|discord(app)?\.com/api/webhooks|api\.telegram\.org")
_DRY = re.compile(r"\s--dry-run\b(?!=none)|^git\b.*\spush\b.*\s-n\b")
_ADDRESS = re.compile(r"\bhttps?://[^\s\"'<>]+", re.IGNORECASE)
_IN_THE_GUEST = re.compile(r"https?://(localhost|127\.\d|0\.0\.0\.0|\[::1?\])", re.IGNORECASE)
# A text that is only written to a file. (Fed to a shell it would be run.)
_OPENS_TEXT = re.compile(r"\b(?:cat|tee)\b[^\n]*<<-?\s*[\"']?(\w+)")

_MCP = re.compile(r"mcp_{1,2}\w")
_TOOLS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.PULL_REQUEST, re.compile(r"(create|merge|update|close|review)_.*(pull|merge)_request|merge_pull")),
    (Kind.PUSH, re.compile(r"push|create_or_update_file")),
    (Kind.MESSAGE, re.compile(r"(send|post|reply|create|add)_.*(message|mail|comment|reply|issue)")),
    (Kind.PUBLISH, re.compile(r"publish|release")),
    (Kind.DEPLOY, re.compile(r"deploy")),
    (Kind.REQUEST, re.compile(r"(^|_)(create|update|delete|send|post|merge|add|set|remove)(_|$)")),
)


def effects_of(name: str, command: str) -> list[tuple[Kind, str]]:
    """What a tool call of that name did outside its guest, each with the command that did it."""
    if _MCP.match(name):
        return _of_server(name, command)
    text = command[:COMMAND_CHARACTERS_MAX]
    if not _WORDS.search(text):
        return []
    text = _without_texts(text)
    found = [(match.start(1), kind, match[1]) for kind, known in _KNOWN for match in known.finditer(text)]
    return list(_distinct(sorted(found)))


def _distinct(found: list[tuple[int, Kind, str]]) -> Iterator[tuple[Kind, str]]:
    """Each command once, by what the table says of it first; no rehearsals, and nothing that stays in the guest."""
    last = -1
    for start, kind, said in found:
        if start != last and not _DRY.search(said) and not _stays(said):
            last = start
            yield Kind.MESSAGE if _CHAT.search(said) else kind, _short(said)


def _stays(said: str) -> bool:
    addresses = _ADDRESS.findall(said)
    return bool(addresses) and all(map(_IN_THE_GUEST.match, addresses))


def _of_server(name: str, command: str) -> list[tuple[Kind, str]]:
    """A tool of an MCP server; it is told by its name only."""
    action = name.rpartition("__")[2].lower()
    kinds = [kind for kind, pattern in _TOOLS if pattern.search(action)]
    return [(kinds[0], _short(f"{name} {command}"))] if kinds else []


def _without_texts(command: str) -> str:
    """Without here-documents that become files."""
    kept, end = [], ""
    for line in command.split("\n"):
        if end:
            end = "" if line.strip() == end else end
            continue
        kept.append(line)
        if opening := _OPENS_TEXT.search(line):
            end = opening[1]
    return "\n".join(kept)


def _short(said: str) -> str:
    return " ".join(said.split())[:SUMMARY_CHARACTERS_MAX]
