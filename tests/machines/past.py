"""A made-up but realistic past: prompts of several kinds, lengths and languages, and what machines made of them."""

import math
import random
from typing import NamedTuple

# By kind of task: the median cost in micros and its spread in logarithms, and how people ask for it.
KINDS: dict[str, tuple[int, float, list[str]]] = {
    "typo": (40_000, 0.5, [
        "Fix the typo in the {thing} of {part}", "There is a spelling mistake in {part}'s {thing}, correct it",
        "Behebe den Tippfehler in {part}, im {thing}", "Corrige la faute de frappe dans {part} ({thing})",
    ]),
    "test": (350_000, 0.6, [
        "Write unit tests for {part}, cover the {thing} too", "Add tests to {part} until its coverage is 90 %",
        "Schreibe Tests für {part}, auch für das {thing}", "Écris des tests unitaires pour {part} et le {thing}",
    ]),
    "bug": (600_000, 0.9, [
        "Users report that {part} crashes when the {thing} is empty. Find out why and fix it, with a test",
        "{part} hangs sometimes; here is the log. Fix the {thing}",
        "{part} stürzt ab, wenn {thing} leer ist. Finde die Ursache und behebe sie",
    ]),
    "feature": (2_000_000, 0.7, [
        "Implement a {thing} for {part} with documentation, tests and a migration",
        "We need {part} to support {thing}. Design and implement it end to end",
        "Baue in {part} Unterstützung für {thing} ein, mit Tests und Dokumentation",
    ]),
    "refactor": (5_000_000, 0.8, [
        "Refactor the whole of {part}: split modules, remove dead code, keep behaviour, all tests must pass",
        "Migrate {part} from {thing} to the new framework, everywhere in the repository",
    ]),
}  # fmt: skip
PARTS = [
    "the parser",
    "billing",
    "src/app.py",
    "the login page",
    "invoice export",
    "the scheduler",
    "search",
    "api/v2",
]
THINGS = [
    "README",
    "date handling",
    "retry logic",
    "CSV import",
    "dark mode",
    "cache",
    "validation",
    "header",
]
REMARKS = [
    "Be brief.",
    "Do not touch other files.",
    "Follow docs/style.md.",
    "Commit when done.",
    "Ask nothing.",
]


class Task(NamedTuple):
    prompt: str
    micros: int
    tokens: int
    calls: int
    seconds: int


def task(chance: random.Random) -> Task:
    kind = chance.choice(list(KINDS))
    median, spread, phrases = KINDS[kind]
    asked = chance.choice(phrases).format(part=chance.choice(PARTS), thing=chance.choice(THINGS))
    remarks = " ".join(chance.sample(REMARKS, chance.randrange(len(REMARKS))))
    micros = max(1, round(median * math.exp(chance.gauss(0, spread))))
    rough = lambda per: max(1, round(micros / per * math.exp(chance.gauss(0, 0.2))))  # noqa: E731
    return Task(f"{asked}. {remarks}".strip(), micros, rough(3), rough(30_000), rough(8_000))
