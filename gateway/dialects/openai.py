"""What OpenAI's two APIs have in common: their errors, usage figures, images, tools, and what is refused in both."""

import re
from collections.abc import Callable
from typing import Any

from budgets.prices import Price, Usage
from gateway.dialects import shapes
from gateway.dialects.base import OUTPUT_TOKENS_MAX
from gateway.dialects.whole import a_count, a_dict
from gateway.errors import Refused

# The frame of a prompt, and how tools are explained in it; documented nowhere, some hundred tokens when measured.
OVERHEAD_TOKENS = 2048
# A definition that OpenAI keeps (shell, apply_patch, computer).
KNOWN_TOOL_TOKENS = 2048
# https://developers.openai.com/api/docs/guides/images-vision: at most 10,000 patches, times 1.2 for some models.
IMAGE_TOKENS = 16_384
# 2833 tokens and 5667 for each of at most eight tiles; its price is as much lower.
IMAGE_TOKENS_BY_MODEL = {"gpt-4o-mini": 49_152}
# Asked for no limit, a model may write as long as it can; but a limit above what it can is an error. So this is what
# is asked for where the agent says nothing: at most what https://developers.openai.com/api/docs/models lists.
_OUTPUT_LIMITS = (
    (re.compile(r"gpt-(3\.5|4-turbo|4-\d|4$)"), 4_096),
    (re.compile(r"(chatgpt-4o|gpt-4o|gpt-\d.*-chat)"), 16_384),
    (re.compile(r"(gpt-4\.1|gpt-[5-9]|o\d)"), 32_768),
)
_OUTPUT_LIMIT_ELSEWHERE = 8_192
# Only the standard tier costs the list price; "auto" is whatever the provider's console says.
SURCHARGES = {"service_tier": "default", "background": False}
_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    404: ("invalid_request_error", None),
    413: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


def error_body(refused: Refused, request_id: str) -> dict[str, object]:
    """OpenAI's clients print `message`, give up at once on 402, and try again after 429 and 5xx.

    The gateway's own 502 and 529 are OpenAI's `server_error`. Source: openai-python, `_base_client.py`.
    """
    kind, code = _ERRORS.get(refused.status, ("server_error", None))
    error = {"message": str(refused), "type": kind, "param": None, "code": code}
    return {"error": error, "request_id": request_id}


def usage_of(figures: dict[str, Any]) -> Usage:
    """A `usage` object of either API. The prompt's count includes what was read from the cache or written to it.

    Reasoning is part of the answer's count. Source: openai-python, `completion_usage.py` and `response_usage.py`.
    """
    prompt = a_count(figures.get("prompt_tokens")) or a_count(figures.get("input_tokens"))
    details = a_dict(figures.get("prompt_tokens_details")) or a_dict(figures.get("input_tokens_details"))
    cached = min(a_count(details.get("cached_tokens")), prompt)
    written = min(a_count(details.get("cache_write_tokens")), prompt - cached)
    return Usage(
        input_tokens=prompt - cached - written,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=a_count(figures.get("completion_tokens")) or a_count(figures.get("output_tokens")),
    )


def output_limit(parsed: dict[str, Any], *names: str) -> tuple[str, int]:
    """The field that limits the answer, and its value. Without one, the first of `names` with a limit of ours."""
    given = [name for name in names if parsed.get(name) is not None]
    if len(given) > 1:
        raise Refused(400, f"{given[0]}, {given[1]}: only one of them may be given.")
    if given:
        return given[0], shapes.count(given[0], parsed[given[0]], OUTPUT_TOKENS_MAX)
    model = kind_of(str(parsed["model"]))
    found = (limit for pattern, limit in _OUTPUT_LIMITS if pattern.match(model))
    return names[0], next(found, _OUTPUT_LIMIT_ELSEWHERE)


def kind_of(model: str) -> str:
    """The model without what a fine-tuned one is called besides, in the spelling of this file: no provider minds."""
    return model.lower().removeprefix("ft:")


def image_tokens(model: str, address: Any) -> int:
    """What an image adds to the bytes that were counted for it."""
    kind = kind_of(model)
    largest = next((n for name, n in IMAGE_TOKENS_BY_MODEL.items() if name in kind), IMAGE_TOKENS)
    return largest - (len(address) if is_inline(address) else 0)


def window(price: Price) -> int | None:
    """The most tokens that a model takes. The list rounds: of 1,047,576 it says 1,000,000, of 32,768 it says 32,000."""
    return price.context_window and price.context_window + price.context_window // 20


def is_inline(address: Any) -> bool:
    """Whether the content is in the address itself."""
    return isinstance(address, str) and address.startswith("data:")


def check_common(parsed: dict[str, Any]) -> None:
    """Refuse what both APIs charge beside tokens. Raises `Refused` (400)."""
    name = shapes.model(parsed)
    if "-search" in name.lower() or "deep-research" in name.lower():
        raise Refused(400, f"model: {name} searches the web at a price per search, which no hold covers.")
    shapes.expect("stream", parsed.get("stream"), bool)
    shapes.object_at("stream_options", parsed, "stream_options")
    options = shapes.object_at("prompt_cache_options", parsed, "prompt_cache_options")
    shapes.refuse_fields(options, {"mode", "comparison_response_id"}, {"ttl": "30m", "prewarm": False})


def check_long_caching(encoded: bytes) -> None:
    """Writing to the cache for twelve hours has a price of its own, which no list has."""
    if b'"ttl":"12h"' in encoded:
        raise Refused(400, "prompt_cache_breakpoint: a ttl of 12h has no listed price. Leave it out.")


def tier(parsed: dict[str, Any]) -> dict[str, Any]:
    """The provider's console must not choose a dearer tier where the agent leaves it open."""
    return {} if parsed.get("service_tier") == "default" else {"service_tier": "default"}


def harmless_tier(parsed: dict[str, Any]) -> dict[str, Any]:
    """The request without a tier that means no more than leaving it out."""
    return {name: value for name, value in parsed.items() if (name, value) != ("service_tier", "auto")}


def each_tool(tools: Any, check: Callable[[shapes.Name, dict[str, Any]], None]) -> None:
    """Look at tools, and at those that a namespace holds."""
    for name, tool in shapes.objects("tools", tools):
        if tool.get("type") == "namespace":
            each_tool(tool.get("tools"), check)
        else:
            check(name, tool)
