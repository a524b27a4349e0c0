"""Try an upstream: each of its keys lists the models and makes the smallest call there is, which is on no budget."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from budgets.errors import UnknownPrice
from budgets.prices import Usage, price_of
from gateway.dialects.base import Dialect
from gateway.dialects.chat import CHAT
from gateway.dialects.encoding import encode
from gateway.dialects.messages import MESSAGES
from gateway.dialects.responses import RESPONSES
from gateway.dialects.whole import a_dict, an_object
from gateway.errors import Refused
from gateway.models import UpstreamKey
from gateway.upstreams import catalog, health, registry, transport
from gateway.upstreams.registry import Target
from projects.errors import NotThere

PATIENCE_SECONDS = 50.0
_HEADERS = [(b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01")]
_HELLO = [{"role": "user", "content": "Hi"}]


@dataclass(frozen=True, slots=True)
class Report:
    """How one key did. `status` is HTTP's; None: no call was made, or nobody answered."""

    key: str
    sentence: str
    answered: bool = False
    status: int | None = None
    model: str = ""
    models: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int | None = None
    milliseconds: int | None = None


def run(name: str, model: str = "") -> list[Report]:
    """Try all keys of an upstream, also those put aside. In a thread. Raises `NotThere`."""
    registry.forget()
    registry.refresh()
    targets = [target for target in registry.targets() if target.name == name]
    if not targets:
        raise NotThere(f"There is no upstream {name} that is enabled and has a key, or is free.")
    reports = asyncio.run(_run(targets, model))
    for target, report in zip(targets, reports, strict=True):
        if report.answered:
            _put_back(target)
    return reports


async def _run(targets: list[Target], model: str) -> list[Report]:
    try:
        return list(await asyncio.gather(*(_report(target, model) for target in targets)))
    finally:
        await transport.close()  # of this short-lived event loop


async def _report(target: Target, model: str) -> Report:
    dialect = _dialect(target)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            listed = await _listed(target, dialect.name)
            if chosen := model or _smallest(target, dialect, listed or []):
                return await _called(target, dialect, chosen, None if listed is None else len(listed))
    except TimeoutError:
        return Report(target.label, f"No answer in {PATIENCE_SECONDS:.0f} s.")
    except (transport.NotSent, transport.BrokenOff, catalog.NothingListed, Refused) as error:
        return Report(target.label, f"{error}")
    return Report(target.label, "It lists no model whose price is known. Say which one to try.", models=0)


def _dialect(target: Target) -> Dialect:
    known: list[Dialect] = [MESSAGES, CHAT, RESPONSES]
    return next(dialect for dialect in known if dialect.name in target.dialects)


async def _listed(target: Target, dialect: str) -> list[str] | None:
    """None: it does not list any, as some servers do not; the call will tell more."""
    try:
        return [str(entry["id"]) for entry in await catalog.listed_by(target, dialect)]
    except (catalog.NothingListed, transport.BrokenOff):
        return None


def _smallest(target: Target, dialect: Dialect, listed: list[str]) -> str:
    """The cheapest model that it lists; where nothing costs anything, or nothing is listed, the first."""
    named = [pattern for pattern in target.patterns if not set(pattern) & set("*?[")]
    candidates = listed or named
    if target.free:
        return next(iter(candidates), "")
    priced = {name: cost for name in candidates if (cost := _cost(dialect, name, Usage(1000, 0, 0, 0, 1000)))}
    return min(priced, key=lambda name: priced[name], default="")


def _cost(dialect: Dialect, model: str, usage: Usage) -> int | None:
    try:
        return price_of(model, provider=dialect.provider).cost_micros(usage)
    except UnknownPrice:
        return None


async def _called(target: Target, dialect: Dialect, model: str, models: int | None) -> Report:
    request = dialect.read(encode(_body(target, dialect, model)))
    began = time.monotonic()
    paths = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
    async with transport.ask(
        target, "POST", paths[dialect.name], dialect=dialect.name, headers=_HEADERS, body=request.encoded
    ) as response:
        said = b"".join([chunk async for chunk in response.chunks])
    took = round((time.monotonic() - began) * 1000)
    if response.status != 200:
        sentence = f"{model}: HTTP {response.status}. {_complaint(said)}"
        return Report(target.label, sentence, status=response.status, model=model, models=models)
    meter = request.meter(streams=False)
    meter.feed(said)
    meter.end()
    usage = meter.usage()
    return Report(
        key=target.label,
        sentence=f"{model} answered in {took} ms.",
        answered=True,
        status=200,
        model=model,
        models=models,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        cost_micros=0 if target.free else _cost(dialect, model, usage),
        milliseconds=took,
    )


def _body(target: Target, dialect: Dialect, model: str) -> dict[str, Any]:
    """OpenAI's newer models want the newer name of the limit, and more than a few tokens; older servers know it not."""
    if dialect.name == "responses":
        return {"model": model, "max_output_tokens": 16, "input": "Hi"}
    if dialect.name == "chat" and not target.free:
        return {"model": model, "max_completion_tokens": 16, "messages": _HELLO}
    return {"model": model, "max_tokens": 1, "messages": _HELLO}


def _complaint(said: bytes) -> str:
    error = an_object(said).get("error")
    return str(a_dict(error).get("message") or error or "")[:300]


def _put_back(target: Target) -> None:
    health.put_back(target)
    if target.key_id is not None:
        UpstreamKey.objects.filter(pk=target.key_id).update(cooled_until=None, refused_at=None, last_error="")
        registry.forget()
