"""What a list of machines is asked for: one line of `field:value`, which is the address and the selects as well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from django.db.models import Case, F, Q, When
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce

from audit import grammar
from audit.grammar import TEXT, Term
from dashboard import needs
from dashboard.fleet.groups import STATES
from machines.models import Machine, MachineQuerySet

# The fields that there are, in the order they are named to people.
FIELDS = {
    "state": f"in this state: {', '.join(sorted(STATES))}; commas between several",
    "project": "in this project, by its short name",
    "type": "of this type of agent, such as vibe",
    "node": "whose guest is on this node",
    "by": "spawned by this user",
}
SELECTED = ("state", "project", "type")  # those that a select stands for, too
COLUMNS: dict[str, F | Coalesce] = {
    "machine": F("number"),
    "state": F("state"),
    "project": F("project__slug"),
    "type": F("type"),
    "spent": F("spent_micros"),
    "since": Coalesce("ended_at", "run_started_at", "created_at"),
}
_LOOKUPS = {"project": "project__slug", "type": "type", "node": "guest__node", "by": "created_by__username"}
_DESCENDING = {"machine", "spent", "since"}
_HEADS = (  # name, what it sorts by, whether it has numbers
    ("Machine", "machine", False),
    ("State", "state", False),
    ("Prompt", "", False),
    ("Project", "project", False),
    ("Type", "type", False),
    ("CPU, last hour", "", False),
    ("Checkpoints", "", True),
    ("Spent", "spent", True),
    ("Since", "since", True),
)


class Head(NamedTuple):
    """A column's head; `address` sorts by it, `sorted` says which way it is sorted now, as `aria-sort` has it."""

    name: str
    number: bool
    address: str
    sorted: str


@dataclass(frozen=True)
class Filter:
    """A filter, an order and a page of it. `sort` is a column, with `-` before it for the other way round."""

    terms: tuple[Term, ...] = ()
    typed: str = ""  # as it was, where something in it was not understood
    problems: tuple[str, ...] = ()
    sort: str = ""
    page: str = "1"
    grouping: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Filter":
        """From a query string: `q` is the line, and each select is one more term of it."""
        line = asked.get("q", "").replace("\x00", "")
        found = grammar.parse(line, _wrong)
        chosen = [Term(field, asked.get(field, "").replace("\x00", "")) for field in SELECTED]
        terms = dict.fromkeys([*found.terms, *(term for term in chosen if term.value and not _wrong(term))])
        sort = asked.get("sort", "")
        return cls(
            tuple(terms),
            line if found.problems else grammar.written(terms),
            tuple(found.problems),
            sort if sort.removeprefix("-") in COLUMNS else "",
            asked.get("page", "1"),
            "project" if asked.get("group") == "project" else "",
        )

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def text(self) -> str:
        """The line, as it may be typed."""
        return grammar.written(self.terms)

    @property
    def steady(self) -> bool:
        """Whether somebody looks at a part of the list, which should not move under their eyes."""
        return bool(self.terms or self.sort or self.page != "1")

    @property
    def rest(self) -> str:
        """The terms that no select stands for."""
        shown = {field: self.value(field) for field in SELECTED}
        kept = [term for term in self.terms if shown.get(term.field) != term.value or term.negated]
        return grammar.written(kept)

    def value(self, field: str) -> str:
        """What the field has to be, where it is said once."""
        found = [term.value for term in self.terms if term.field == field and not term.negated]
        return found[0] if len(found) == 1 else ""

    def states(self) -> frozenset[str]:
        """The states that are asked for; none for all."""
        return frozenset(state for name in self.value("state").split(",") for state in STATES.get(name, ()))

    def address(self, **other: str) -> str:
        """The address of the same list, but for `state`, `sort`, `page` or `group`."""
        terms = [term for term in self.terms if "state" not in other or term.field != "state"]
        if other.get("state"):
            terms.append(Term("state", other["state"]))
        asked = {
            "q": grammar.written(terms),
            "sort": other.get("sort", self.sort),
            "group": other.get("group", self.grouping),
            "page": other.get("page", ""),  # another list begins at its first
        }
        return f"?{urlencode({name: value for name, value in asked.items() if value})}"

    def heads(self) -> list[Head]:
        """The columns of the table."""
        ways = {"": "", "-": "descending"}
        way = ways.get(self.sort[:1], "ascending")
        return [
            Head(
                name,
                number,
                self.address(sort=self._turned(key)) if key else "",
                way if key and self.sort.removeprefix("-") == key else "",
            )
            for name, key, number in _HEADS
        ]

    def _turned(self, column: str) -> str:
        """What a click on the head sorts by: the newest, dearest and latest come first the first time."""
        ways = (f"-{column}", column) if column in _DESCENDING else (column, f"-{column}")
        return ways[self.sort == ways[0]]

    def apply(self, machines: MachineQuerySet) -> MachineQuerySet:
        """Those that every term holds of."""
        for term in self.terms:
            machines = machines.exclude(_holds(term)) if term.negated else machines.filter(_holds(term))
        return machines

    def ordered(self, machines: MachineQuerySet) -> MachineQuerySet:
        """What needs somebody first, then the newest; or by a column."""
        if not self.sort:
            first = Case(When(needs.condition(), then=0), default=1)
            return machines.order_by(first, "-number")
        column = COLUMNS[self.sort.removeprefix("-")]
        return machines.order_by(OrderBy(column, descending=self.sort.startswith("-")), "-number")


def _holds(term: Term) -> Q:
    if term.field == TEXT:
        return Q(prompt__icontains=term.value) | Q(number=Machine.number_of(term.value))
    values = [value for value in term.value.split(",") if value]
    if term.field == "state":
        return Q(state__in={state for value in values for state in STATES.get(value, ())})
    return Q(**{f"{_LOOKUPS[term.field]}__in": values})


def _wrong(term: Term) -> str:
    """What is wrong with a term, in a sentence; "" when nothing is."""
    if problem := grammar.malformed(term, FIELDS):
        return problem
    unknown = [value for value in term.value.split(",") if value not in STATES]
    if term.field == "state" and unknown:
        return f"There is no state “{unknown[0]}”. There are {', '.join(sorted(STATES))}."
    return ""
