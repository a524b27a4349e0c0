"""JSON in and out. What the provider gets is our own writing of what we read, so that two parsers cannot differ."""

import json
import math
from typing import Any

import orjson

from gateway.errors import Refused

DEPTH_MAX = 250  # orjson writes 254 levels
LONG_DIGITS = 19
_ZEROS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))


def decode(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """A request's body, and the same written anew. Raises `Refused` (400) for what is no JSON object."""
    if _has_long_number(raw):
        parsed, encoded = _patiently(raw)
        return _an_object(parsed), encoded
    try:
        parsed = orjson.loads(raw)
        encoded = orjson.dumps(parsed)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        parsed, encoded = _patiently(raw)
    return _an_object(parsed), encoded


def encode(value: object) -> bytes:
    """`value` as JSON; where there are halves of surrogate pairs, which UTF-8 does not know, all is escaped."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        pass
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _an_object(parsed: Any) -> dict[str, Any]:
    if not isinstance(parsed, dict):
        raise Refused(400, "The request body must be a JSON object.")
    return parsed


def _has_long_number(raw: bytes) -> bool:
    """Whether there may be whole numbers of more than 64 bits, which orjson reads as fractions.

    Among so many digits every ninth byte is one; where that is not so, a tenth of the work will do.
    """
    return b"00" in raw[::9].translate(_ZEROS) and b"0" * LONG_DIGITS in raw.translate(_ZEROS)


def _patiently(raw: bytes) -> tuple[Any, bytes]:
    """What orjson refuses although clients send it: long numbers, and halves of surrogate pairs, cut by JavaScript."""
    try:
        parsed = json.loads(raw.decode(), parse_constant=_no_constant, parse_float=_finite)
        if _deeper_than(DEPTH_MAX, parsed):
            raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")
        return parsed, encode(parsed)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request body is not JSON: {error}") from None


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError(f"{number} is too large a number")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _deeper_than(levels: int, value: Any) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
