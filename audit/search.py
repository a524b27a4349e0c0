"""Which events somebody may see, and which of them a search finds. Stays quick at a million events."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.search import SearchQuery
from django.db import connection, models
from django.db.models import Q, QuerySet

from audit.grammar import TEXT, Term, moment
from checkpoints import actions as checkpoints
from events.models import WORDS, WORDS_OF, Event
from machines import actions as machines
from projects.errors import NotThere
from projects.models import Project, User
from projects.permissions import acting
from projects.roles import Right

# Fields that say from where somebody came; only those who may read the audit learn, or search for, that.
SOURCE = ("request_id", "address", "token")
# Clocks of several hosts may differ by so much; ids are given out in the order of events but for that.
_APART = timedelta(minutes=10)

# Every value of a column, by way of its index: it does not read the events.
_VALUES = """
WITH RECURSIVE found AS (
    (SELECT {column} AS value FROM events_event WHERE {column} <> '' ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM events_event WHERE {column} <> '' AND {column} > value ORDER BY {column} LIMIT 1)
    FROM found WHERE value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL
"""


FREQUENT = 5_000  # events with the same word

_HOLDING = f"""
WITH found AS MATERIALIZED (
    SELECT id FROM events_event
    WHERE {WORDS_OF % {"expressions": "data"}} @@ phraseto_tsquery('simple', %s)
)
SELECT id FROM found LIMIT %s
"""


@dataclass(frozen=True)
class Sight:
    """How much somebody sees: projects by id, those whose audit they may read, and whether the system's own."""

    user: User
    projects: dict[UUID, str]
    audited: frozenset[UUID]
    system: bool

    @classmethod
    def of(cls, user: User | AnonymousUser) -> "Sight":
        """Two queries, or three."""
        who = acting(user)
        visible = Project.objects.permitted(who, Right.VIEW)
        audited = Project.objects.permitted(who, Right.READ_AUDIT)
        system = who.administers or who.has_perm(f"projects.{Right.READ_AUDIT}")
        return cls(
            who,
            dict(visible.values_list("pk", "slug")),
            frozenset(audited.values_list("pk", flat=True)),
            system,
        )

    @property
    def audits(self) -> bool:
        """Whether there is anything whose audit they may read."""
        return self.system or bool(self.audited)

    def knows_source(self, event: Event) -> bool:
        """Whether they may know from where this was asked for."""
        return self.system if event.project_id is None else event.project_id in self.audited

    @cached_property
    def visible(self) -> QuerySet[Event]:
        return self._within(self.projects)

    @cached_property
    def with_source(self) -> QuerySet[Event]:
        """Those of which they may know from where they were asked for."""
        return self._within(self.audited)

    def _within(self, projects: Iterable[UUID]) -> QuerySet[Event]:
        within = Q(project_id__in=list(projects))
        return Event.objects.filter(within | Q(project_id=None) if self.system else within)


def find(sight: Sight, terms: list[Term]) -> tuple[QuerySet[Event], list[str]]:
    """The events that somebody sees and asks for, the newest first; and what is not to be found, in sentences."""
    found = sight.with_source if any(term.field in SOURCE for term in terms) else sight.visible
    problems = []
    for term in terms:
        try:
            condition = _CONDITIONS.get(term.field, _equals)(sight, term)
        except NotThere as error:
            problems.append(str(error))
            return Event.objects.none(), problems
        found = found.filter(~condition if term.negated else condition)
    return found, problems


def values(column: str) -> list[str]:
    """Every kind of event, or every token, that there is."""
    with connection.cursor() as cursor:
        cursor.execute(_VALUES.format(column=column))
        return [value for (value,) in cursor.fetchall()]


def _equals(sight: Sight, term: Term) -> Q:
    return Q(**{term.field: term.value})


def _project(sight: Sight, term: Term) -> Q:
    known = {slug: key for key, slug in sight.projects.items()}
    key = known.get(term.value) or next((key for key in sight.projects if str(key) == term.value), None)
    if key is None:
        raise NotThere(f"There is no project {term.value!r} that you may see.")
    return Q(project_id=key)


def _subject(sight: Sight, term: Term) -> Q:
    if ":" in term.value:
        return Q(subject=term.value)
    for look in (_a_machine, _a_checkpoint, _a_project):
        with contextlib.suppress(NotThere):
            return Q(subject=look(sight, term.value))
    raise NotThere(f"There is no machine, checkpoint or project {term.value!r} that you may see.")


def _a_machine(sight: Sight, reference: str) -> str:
    return machines.find(reference, user=sight.user).subject


def _a_checkpoint(sight: Sight, reference: str) -> str:
    return checkpoints.find(reference, user=sight.user).subject


def _a_project(sight: Sight, slug: str) -> str:
    key = next((key for key, known in sight.projects.items() if known == slug), None)
    if key is None:
        raise NotThere(slug)
    return f"project:{key}"


def _kind(sight: Sight, term: Term) -> Q:
    if not term.value.endswith("*"):
        return Q(kind=term.value)
    return Q(kind__in=[kind for kind in values("kind") if kind.startswith(term.value[:-1])])


def _token(sight: Sight, term: Term) -> Q:
    wanted = term.value.casefold()
    return Q(token__in=[token for token in values("token") if wanted in token.casefold()])


def _since(sight: Sight, term: Term) -> Q:
    """By time, and by id as well: events are read along their ids."""
    at = moment(term.value)
    assert at is not None
    first = Event.objects.filter(at__gte=at - _APART).order_by("at").values_list("pk", flat=True).first()
    return Q(at__gte=at) & (Q(pk__gte=first) if first else Q())


def _until(sight: Sight, term: Term) -> Q:
    at = moment(term.value)
    assert at is not None
    last = Event.objects.filter(at__lt=at + _APART).order_by("-at").values_list("pk", flat=True).first()
    return Q(at__lt=at) & (Q(pk__lte=last) if last else Q())


def _text(sight: Sight, term: Term) -> Q:
    """A rare word is looked up in the index, a frequent one soon met along the ids: no planner could tell."""
    ids = _holding(term.value)
    return (_said(term.value) if ids is None else Q(pk__in=ids)) | Q(actor=term.value) | Q(kind=term.value)


def _holding(words: str) -> list[int] | None:
    """The events that say it; None when there are too many to name."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDING, [words, FREQUENT])
        ids = [key for (key,) in cursor.fetchall()]
    return ids if len(ids) < FREQUENT else None


def _said(words: str) -> Q:
    query = SearchQuery(words, config="simple", search_type="phrase")
    return Q(models.ExpressionWrapper(_Matches(WORDS, query), output_field=models.BooleanField()))


class _Matches(models.Func):
    """The words of an event against a query, as the index has them."""

    template = "%(expressions)s"
    arg_joiner = " @@ "
    output_field = models.BooleanField()


_CONDITIONS: dict[str, Callable[[Sight, Term], Q]] = {
    "project": _project,
    "subject": _subject,
    "kind": _kind,
    "token": _token,
    "since": _since,
    "until": _until,
    TEXT: _text,
}
