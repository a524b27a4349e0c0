"""Whether a request is the one that was recorded: by what the agent says, not by what differs between any two runs.

Left out: ids, times, dates, durations, addresses, names of temporary files, process numbers, and the machine's own
names; what only concerns the provider's books or its cache; and secrets, so that a redacted recording compares too.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from gateway import redaction

EXCERPT_CHARACTERS = 60

# Of the request itself.
_BOOKKEEPING = {
    "diagnostics",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "user",
}
# Wherever they stand.
_IDS = {"cache_control", "call_id", "id", "tool_call_id", "tool_use_id"}
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:\s?[AP]M\b)?"
_VARYING = rf"""
    (?P<id>\b[0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}\b
        | \b(?:toolu|msg|call|resp|req|fc|rs|chatcmpl|sess)[_-][\w-]{{6,80}}
        | \b0x[0-9a-fA-F]{{6,16}}\b
        | \b(?=[0-9a-f]*[0-9])[0-9a-f]{{7,64}}\b)
    | (?P<time>\b\d{{4}}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?)?(?:Z|\s?[+-]\d\d:?\d\d)?
        | (?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?\ +)?
          (?:\b{_MONTH}\ +\d{{1,2}}\b|\b\d{{1,2}}\ +{_MONTH}\b(?!\ +\d{{1,2}}\s))(?:,?\ +{_CLOCK})?
          (?:\ [A-Z]{{3,4}}\b)?(?:,?\ +\d{{4}}\b)?
        | \b{_CLOCK})
    | (?P<duration>\b\d+m\d+(?:\.\d+)?s\b
        | \b\d+(?:\.\d+)?\ ?(?:ns|µs|us|ms|s|secs?|seconds?)\b)
    | (?P<temporary>/(?:var/tmp|tmp|dev/shm)/[^\s"'\\/:;,)\]]+)
    | (?P<port>\b(?:localhost|127\.0\.0\.1):\d+)
    | (?P<process>\b(?i:pid)\W{{1,3}}\d+)
"""


def shape(request: dict[str, Any]) -> str:
    """What two requests must have in common to be the same, told cheaply: model, tools, who spoke when."""
    turns = request.get("messages") or request.get("input") or []
    tools = request.get("tools") or []
    roles = [each.get("role") or each.get("type") for each in turns if isinstance(each, dict)]
    names = [_name(each) for each in tools if isinstance(each, dict)]
    told = [request.get("model"), request.get("stream") is True, roles, names]
    return hashlib.blake2s(json.dumps(told).encode(), digest_size=16).hexdigest()


def normal(body: bytes, names: Iterable[str]) -> dict[str, Any]:
    """A request without what varies; `names` are what the machine is called (handle, VMID). Raises `ValueError`."""
    request = json.loads(redaction.body(body))
    varying = _varying(tuple(sorted(names)))
    return {key: _normal(each, varying) for key, each in request.items() if key not in _BOOKKEEPING | _IDS}


def difference(recorded: Any, sent: Any, path: str = "") -> str:
    """The first place where two normal requests differ, in words; "" when they are the same."""
    if type(recorded) is not type(sent):
        return _difference_of_values(recorded, sent, path)
    if isinstance(sent, str):
        return "" if recorded == sent else _difference_of_texts(recorded, sent, path)
    if isinstance(sent, dict | list):
        return next(filter(None, (difference(*each) for each in _pairs(recorded, sent, path))), "")
    return "" if recorded == sent else _difference_of_values(recorded, sent, path)


def _pairs(recorded: Any, sent: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    before = f"{path}." if path else ""
    if isinstance(sent, list):
        for number in range(max(len(recorded), len(sent))):
            yield _at(recorded, number), _at(sent, number), f"{before}{number}"
    else:
        for key in [*recorded, *(key for key in sent if key not in recorded)]:
            yield recorded.get(key), sent.get(key), f"{before}{key}"


def _at(found: list[Any], number: int) -> Any:
    return found[number] if number < len(found) else None


def _difference_of_texts(recorded: str, sent: str, path: str) -> str:
    pairs = enumerate(zip(recorded, sent, strict=False))
    at = next((number for number, (a, b) in pairs if a != b), min(len(recorded), len(sent)))
    begin = max(0, at - 20)
    return f"{path} reads {_excerpt(sent, begin)}; in the record {_excerpt(recorded, begin)}"


def _difference_of_values(recorded: Any, sent: Any, path: str) -> str:
    return f"{path} {_shown(sent)}; in the record it {_shown(recorded)}"


def _excerpt(text: str, begin: int) -> str:
    cut = text[begin : begin + EXCERPT_CHARACTERS]
    return f"“{'…' if begin else ''}{cut}{'…' if begin + len(cut) < len(text) else ''}”"


def _shown(found: Any) -> str:
    return "is missing" if found is None else f"is {_excerpt(json.dumps(found, ensure_ascii=False), 0)}"


def _normal(found: Any, varying: re.Pattern[str]) -> Any:
    if isinstance(found, str):
        return varying.sub(lambda match: f"<{match.lastgroup}>", found)
    if isinstance(found, list):
        return [_normal(each, varying) for each in found]
    if isinstance(found, dict):
        return {key: _normal(each, varying) for key, each in found.items() if key not in _IDS}
    return found


@lru_cache(maxsize=32)
def _varying(names: tuple[str, ...]) -> re.Pattern[str]:
    named = "|".join(map(re.escape, names)) or "(?!)"
    return re.compile(rf"(?P<machine>\b(?:{named})\b)|{_VARYING}", re.VERBOSE)


def _name(tool: dict[str, Any]) -> Any:
    function = tool.get("function")
    return (
        tool.get("name") or (function.get("name") if isinstance(function, dict) else None) or tool.get("type")
    )
