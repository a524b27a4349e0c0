"""What tools answer with: of the API's objects, what an agent needs. Money is in units of the project's currency."""

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

MICROS = 1_000_000
RESTS = ("terminated", "failed", "paused")


def units(micros: int) -> float:
    """Of the currency, from millionths of it."""
    return micros / MICROS


class Shape(BaseModel):
    """Made from what the API answers; what is not declared is left out."""

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        return cls.model_validate(answer)


class Operation(Shape):
    """Work that goes on after the answer."""

    id: str
    verb: str
    status: str
    step: str
    error: str


class Machine(Shape):
    """A machine that runs an agent, or ran one."""

    handle: str = Field(description="Such as m12.")
    title: str
    project: str
    type: str
    state: str
    rests: bool = Field(description="It has ended or is paused: nothing changes by itself.")
    sentence: str = Field(description="Why it is in that state.")
    verbs: list[str] = Field(description="What may be asked of it now.")
    source: str = Field(description="The checkpoint that it started from.")
    present: str | None = Field(description="Its latest checkpoint.")
    exit_code: int | None
    spent: float = Field(description="On model calls so far.")
    currency: str
    created_at: str
    ended_at: str | None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        more = {"spent": units(answer["spent_micros"]), "rests": answer["state"] in RESTS}
        return cls.model_validate(answer | more)


class MachineDetail(Machine):
    """One machine, with its prompt and what is under way."""

    prompt: str
    network: str
    operation: Operation | None = Field(description="What is under way.")


class Machines(Shape):
    machines: list[Machine]
    more: bool = Field(description="There are older ones: ask with a higher limit, or narrower.")


class Line(Shape):
    id: int
    stream: str = Field(description="out, err, or sys for what autovibe says.")
    text: str


class Log(Shape):
    state: str = Field(description="Of the machine.")
    lines: list[Line]
    after: int = Field(description="Give this back to read on.")


class Waited(Shape):
    machine: Machine
    log: list[Line] = Field(description="The last lines it printed.")
    after: int = Field(description="Give this back to wait on, and hear of later lines only.")


class Checkpoint(Shape):
    """A state of a machine that can be read, branched from, and returned to."""

    handle: str = Field(description="Such as m12.c3.")
    project: str
    standing: str = Field(description="captured, durable or verified: it can be used; or why not.")
    kind: str
    why: str
    name: str
    parent: str | None
    files: int | None
    bytes: int | None
    changed: int | None = Field(description="Files that differ from its parent's.")
    created_at: str
    error: str


class Checkpoints(Shape):
    checkpoints: list[Checkpoint]
    more: bool


class Entry(Shape):
    path: str
    kind: str
    size: int | None = None


class Files(Shape):
    checkpoint: str
    files: list[Entry]
    more: int = Field(description="How many are not listed.")


class File(Shape):
    path: str
    encoding: Literal["utf-8", "base64"]
    content: str
    bytes: int = Field(description="Of the whole file.")
    cut: bool = Field(description="Only its beginning is here.")


class Change(Shape):
    path: str
    change: str = Field(description="added, removed, modified or renamed.")
    before_path: str | None
    diff: str | None = Field(description="Unified.")
    without: str = Field(description="Why there is no diff.")


class Totals(Shape):
    added: int
    removed: int
    modified: int
    renamed: int


class Diff(Shape):
    totals: Totals = Field(description="Of all changes, not of those listed here alone.")
    changes: list[Change]
    after: str | None = Field(description="Give this back for the next changes; null: these were the last.")


class Limit(Shape):
    """One limit, and how far it is used."""

    scope: str = Field(description="Whose it is.")
    resource: str
    period: str
    limit: float
    spent: float
    held: float = Field(description="For calls under way.")
    left: float
    ends_at: str | None = Field(description="When it begins anew.")

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        money = answer["resource"] == "money"
        amounts = {"limit": "limit", "spent": "spent", "held": "reserved", "left": "left"}
        said = {name: units(answer[key]) if money else answer[key] for name, key in amounts.items()}
        return cls.model_validate(answer | said)


class Budget(Shape):
    project: str
    currency: str
    limits: list[Limit] = Field(description="All of them hold. Without any, nothing may be spent.")


class Range(Shape):
    """Eight of ten machines stay within."""

    low: float
    middle: float
    high: float


class Expectation(Shape):
    currency: str
    neighbours: int = Field(description="Past machines with like prompts that it was made from.")
    ranges: dict[str, Range] = Field(description="By figure; empty without enough history.")
    suggested_limit: float | None = Field(description="Of money; will do in nineteen of twenty cases.")
    sentence: str


class Project(Shape):
    slug: str
    name: str
    currency: str


class Projects(Shape):
    projects: list[Project]


class MachineType(Shape):
    name: str
    summary: str
    default_model: str


class MachineTypes(Shape):
    types: list[MachineType]


class Message(Shape):
    id: int
    state: str = Field(description="pending, delivered or undelivered.")
    told: str = Field(description="When its agent hears it.")
