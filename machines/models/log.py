"""What agents printed."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models

from machines.models.machine import Machine

# The words of a line: what colours it is no word, a file's name is several, and so is ValueError. Whoever searches
# cuts words in the same way: see `machines.printed`.
WORDS_OF = (
    r"to_tsvector('simple', regexp_replace(regexp_replace(%(expressions)s, "
    r"'\u001B\[[0-?]*[ -/]*[@-~]|[^[:alnum:]]+', ' ', 'g'), '([a-z])([A-Z])', '\1 \2', 'g'))"
)
WORDS = models.Func(models.F("text"), template=WORDS_OF)


class LogLine(models.Model):
    """A line that an agent, or its supervisor, printed."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="log", db_index=False)
    run = models.UUIDField()
    number = models.PositiveIntegerField()  # within the run; gives at-least-once delivery its key
    at = models.DateTimeField()
    stream = models.CharField(max_length=3)  # out, err, sys; say: what people said to the agent
    text = models.TextField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["machine", "run", "number"], name="log_line_once")]
        indexes = [
            models.Index(fields=["machine", "id"], name="log_line_by_machine"),
            models.Index(fields=["at", "id"], name="log_line_by_time"),
            models.Index(
                fields=["stream", "at", "id"], condition=~models.Q(stream="out"), name="log_line_by_stream"
            ),
            # Of the newest lines words are sought one by one: so short a list is quick to read, and to be sorted in.
            GinIndex(WORDS, name="log_line_by_words", gin_pending_list_limit=1024),
        ]

    def __str__(self) -> str:
        return self.text
