"""One hundred calls at once against a budget of 6,000 tokens: how many tokens did the provider bill in the end?"""

from dataclasses import dataclass

import requests

from benchmarks import load
from benchmarks.contenders import Client, Contender, Running

LIMIT_TOKENS = 6_000
CLIENTS = 100
OUTPUT_TOKENS = 100
# The first is what four characters to a token make of it; the second comes to one token a character.
PROMPTS = {"good": "Say hello to the world. " * 8, "bad": "改进这个程序，让所有的测试都通过。" * 18}


@dataclass(frozen=True)
class Overrun:
    """`billed_tokens` is the provider's own count."""

    contender: str
    case: str
    answered: int
    refused: int
    billed_tokens: int
    seconds: float
    complaint: str  # what one of the refused was told

    @property
    def overshoot(self) -> float:
        """Of the budget, never below 0."""
        return max(self.billed_tokens / LIMIT_TOKENS - 1, 0)


def overshoot(running: list[tuple[Contender, Running]], upstream: str, *, quick: bool) -> list[Overrun]:
    """Every contender, with good and with bad estimates, whole and (but not when `quick`) streamed."""
    kinds = ("unary",) if quick else ("unary", "stream")
    return [overrun for contender, its in running for overrun in _of(contender, its, upstream, kinds)]


def _of(contender: Contender, running: Running, upstream: str, kinds: tuple[str, ...]) -> list[Overrun]:
    cases = {f"{estimate}-{kind}": (PROMPTS[estimate], kind) for estimate in PROMPTS for kind in kinds}
    with contender.budgeted(running, dict.fromkeys(cases, LIMIT_TOKENS)) as clients:
        return [
            _overrun(contender.name, case, clients[case], upstream, prompt, stream=kind == "stream")
            for case, (prompt, kind) in cases.items()
        ]


def _overrun(name: str, case: str, client: Client, upstream: str, prompt: str, *, stream: bool) -> Overrun:
    pace = {"output_tokens": OUTPUT_TOKENS, "think_seconds": 0.3, "token_seconds": 0.005}
    requests.put(f"{upstream}/pace", json=pace, timeout=10).raise_for_status()
    body = client.body(prompt, stream=stream, max_tokens=OUTPUT_TOKENS)
    seen = load.run(load.Load(client.url, client.headers, body, CLIENTS, 1, 0.0, stream))
    truth = requests.get(f"{upstream}/truth", timeout=10).json()
    return Overrun(
        contender=name,
        case=case,
        answered=seen.answered,
        refused=sum(seen.statuses.values()) - seen.answered,
        billed_tokens=truth["prompt_tokens"] + truth["output_tokens"],
        seconds=seen.seconds,
        complaint=next(iter(seen.complaints), ""),
    )
