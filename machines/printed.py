"""What was printed, by words: which lines of logs a text finds, and where in a line it stands.

Words are found from their beginning on, in any case; several in the order in which they are given. An index knows
them, so that a million lines are no trouble.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import Q, QuerySet

from machines.models import LogLine
from machines.models.log import WORDS
from projects.errors import Invalid

# Terminal control sequences (ECMA-48: CSI, OSC, and two-byte escapes) and other control characters but tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]"
)
_TOGETHER = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")
_BAD = ("error", "exception", "traceback", "fatal", "panic", "failed", "failure")
_SAYS_BAD = re.compile(rf"(?:\b|_|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(_BAD)})")

WORDS_MAX = 20  # of one phrase: each is sought at every place of a line
NAMED_MAX = 20_000  # lines that one search may name; where there are more, the newest are soon met

_NAMED = "WITH found AS MATERIALIZED ({lines}) SELECT at, id FROM found LIMIT %s"


def plain(printed: str) -> str:
    """Without what only a terminal understands; of a line drawn over itself (`\\r`), the last state."""
    return _CONTROL.sub("", last_state(printed))


def last_state(printed: str) -> str:
    """Of a line drawn over itself, what was drawn last."""
    return printed.rstrip("\r").rpartition("\r")[2]


def words(text: str) -> list[str]:
    """The words of a text, cut as the index has them."""
    return _WORD.findall(_TOGETHER.sub(" ", text))


def too_long(text: str) -> str:
    """What is wrong with a phrase of more than `WORDS_MAX` words, in a sentence; "" when nothing is."""
    return (
        f"Of one phrase, at most {WORDS_MAX} words can be searched for."
        if len(words(text)) > WORDS_MAX
        else ""
    )


def says(*texts: str) -> Q:
    """Lines that say all these phrases, the last word of each perhaps longer. None, if one is without any word.

    They are asked for at once, for each question cuts the whole line into words again. Raises `Invalid` for a phrase
    of more than `WORDS_MAX`.
    """
    if problem := next(filter(None, map(too_long, texts)), ""):
        raise Invalid(problem)
    phrases = [words(text) for text in texts]
    if not all(phrases):
        return Q(pk=None)
    return _matching(" & ".join(f"({' <-> '.join(phrase)}:*)" for phrase in phrases))


def says_all(texts: Sequence[str]) -> Q:
    """Lines that say all words of these texts, in any order. An index tells them without reading any."""
    found = [[*said[:-1], f"{said[-1]}:*"] for said in map(words, texts) if said]
    return _matching(" & ".join(word for said in found for word in said)) if found else Q(pk=None)


def is_bad() -> Q:
    """Lines that tell of trouble."""
    of_stderr, saying_so = bad_ways()
    return of_stderr | saying_so


def bad_ways() -> tuple[Q, Q]:
    """The lines of stderr, and those that say so: an index knows either, and no planner both."""
    return Q(stream="err"), _matching(" | ".join(f"{word}:*" for word in _BAD))


def sounds_bad(stream: str, text: str) -> bool:
    """The same of one line."""
    return stream == "err" or bool(_SAYS_BAD.search(plain(text)))


def named(lines: QuerySet[LogLine]) -> list[tuple[datetime, int]] | None:
    """Time and id of all these lines, in order; None where there are more than `NAMED_MAX`.

    The database first finds them by their words: whether they are rare no planner could tell.
    """
    try:
        sql, params = lines.order_by().values("at", "id").query.sql_with_params()
    except EmptyResultSet:  # what is asked for cannot be
        return []
    with connection.cursor() as cursor:
        cursor.execute(_NAMED.format(lines=sql), [*params, NAMED_MAX + 1])
        found = cursor.fetchall()
    return sorted(found) if len(found) <= NAMED_MAX else None


def within(lines: QuerySet[LogLine], text: str) -> QuerySet[LogLine]:
    """Those of these lines that say it."""
    saying = lines.filter(says(text))
    found = named(saying)
    return saying if found is None else lines.filter(pk__in=[key for _, key in found])


def place(text: str, wanted: Sequence[str]) -> int:
    """Where in the text the first of the wanted ones begins; 0 where none is."""
    found = re.search(_any_of(wanted), text)
    return found.start() if found else 0


def marked(text: str, wanted: Sequence[str]) -> list[tuple[str, bool]]:
    """The text in pieces, and whether each is one of the wanted ones."""
    pieces = re.split(_any_of(wanted), text)
    return [(piece, at % 2 == 1) for at, piece in enumerate(pieces) if piece]


def _any_of(wanted: Sequence[str]) -> str:
    """A pattern for the wanted ones; without any word among them, it is found nowhere."""
    patterns = [r"[\W_]*+".join(found) for found in map(words, wanted) if found] or ["(?!)"]
    return rf"((?:(?<![^\W_])|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(patterns)}))"


def _matching(query: str) -> Q:
    asked = SearchQuery(query, config="simple", search_type="raw")
    return Q(models.ExpressionWrapper(_Matches(WORDS, asked), output_field=models.BooleanField()))


class _Matches(models.Func):
    """The words of a line against a query, as the index has them."""

    template = "%(expressions)s"
    arg_joiner = " @@ "
    output_field = models.BooleanField()
