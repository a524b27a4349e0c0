"""Leave secrets out of what is recorded: keys, tokens, passwords, mail addresses, PEM blocks, images and documents.

Known forms only: a secret that looks like a word stays. What must not be kept at all is not recorded (mode off).
Bodies are searched as they are written, in JSON's escapes: reading and writing them again would cost far more.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from events.secrets import REDACTED, found_in

LEFT_OUT = "[left out]"

_LOCAL = re.compile(r"[\w.%+-]{1,64}\Z")
_DOMAIN = re.compile(r"@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b")
# The bytes of an image, the text of a document, however they are sent.
_DATA = re.compile(r'("(?:data|file_data)"\s*:\s*")(?:[^"\\]|\\.)*"|"data:[\w/+.-]{0,100};base64,[^"\\]*"')

_DATA_LINE = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)
_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
# Tells apart the texts that several events of a stream carry on.
_CARRIERS = ("type", "index", "output_index", "content_index", "item_id")

_KINDS = {"id", "item_id", "model", "object", "type"}  # nobody's words

Span = tuple[int, int]
Path = tuple[str | int, ...]
Leaf = tuple[dict[str, Any] | list[Any], Any]  # what holds a text, and where in it


def text(value: str) -> str:
    """A text, or JSON, without its secrets. Doing it twice changes nothing more."""
    pieces, end = [], 0
    for start, stop in _spans(value):
        pieces += [value[end:start], REDACTED]
        end = stop
    return "".join([*pieces, value[end:]]) if pieces else value


def body(content: bytes) -> bytes:
    """A JSON body without its secrets, and without the data of images and documents."""
    return text(_DATA.sub(_left_out, content.decode(errors="replace"))).encode()


def events(stream: bytes) -> list[tuple[int, bytes]]:
    """The server-sent events of an answer, without secrets, also where one was spread over several events.

    Each with how many bytes it had before.
    """
    blocks = [block for block in _EVENT_END.split(stream) if block]
    parsed = [_parsed(block) for block in blocks]
    texts: dict[Any, list[Leaf]] = {}
    for number, event in enumerate(parsed):
        carrier = [event.get(name) for name in _CARRIERS]
        for path, leaf in _leaves(event, ()):
            texts.setdefault(str([path, *(carrier if "delta" in path else [number])]), []).append(leaf)
    for leaves in texts.values():
        _redact_together(leaves)
    return [(len(block), _rewritten(block, event)) for block, event in zip(blocks, parsed, strict=True)]


def _left_out(found: re.Match[str]) -> str:
    return f'{found[1] or chr(34)}{LEFT_OUT}"'


def _spans(value: str) -> list[Span]:
    """Where the secrets are, in order and apart."""
    spans: list[Span] = []
    for start, stop in sorted([*found_in(value), *_addresses(value)]):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _addresses(value: str) -> Iterator[Span]:
    """Mail addresses, found from their @ on."""
    at = value.find("@")
    while at >= 0:
        domain = _DOMAIN.match(value, at)
        if domain and (local := _LOCAL.search(value[max(0, at - 64) : at])):
            start = at - len(local[0])
            before = value[max(0, start - 8) : start]
            if (len(before) - len(before.rstrip("\\"))) % 2:  # its first letter belongs to an escape
                start += 5 if value[start] == "u" else 1
            yield min(start, at), domain.end()
        at = value.find("@", at + 1)


def _parsed(block: bytes) -> dict[str, Any]:
    """The JSON object of an event; {} for any other."""
    try:
        found = [json.loads(line) for line in _DATA_LINE.findall(block)]
    except (ValueError, RecursionError):
        return {}
    return found[0] if len(found) == 1 and isinstance(found[0], dict) else {}


def _rewritten(block: bytes, event: dict[str, Any]) -> bytes:
    if not event:
        return text(block.decode(errors="replace")).encode()
    return _DATA_LINE.sub(lambda _: b"data: " + json.dumps(event).encode(), block)


def _leaves(found: Any, path: Path) -> Iterator[tuple[Path, Leaf]]:
    """The texts in an event. In lists they are known by their own index, which stays the same between events."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(found, dict):
        items = found.items()
    elif isinstance(found, list):
        items = enumerate(found)
    for key, each in items:
        step = each.get("index", key) if isinstance(found, list) and isinstance(each, dict) else key
        if isinstance(each, str):
            if key not in _KINDS:
                yield (*path, step), (found, key)
        else:
            yield from _leaves(each, (*path, step))


def _redact_together(leaves: list[Leaf]) -> None:
    """Redact what several texts say together; each keeps its own part, and the mark goes where a secret began."""
    whole = "".join(holder[key] for holder, key in leaves)
    spans = list(_spans(whole))
    stops = [stop for _, stop in spans]
    begin = 0
    for holder, key in leaves if spans else ():
        end = begin + len(holder[key])
        inside = spans[bisect_right(stops, begin) : bisect_right(spans, (end, 0))]
        holder[key] = _part(whole, inside, begin, end)
        begin = end


def _part(whole: str, spans: list[Span], begin: int, end: int) -> str:
    pieces, at = [], begin
    for start, stop in spans:
        pieces += [whole[at : max(start, at)], REDACTED if begin <= start else ""]
        at = max(at, min(stop, end))
    return "".join([*pieces, whole[at:end]])
