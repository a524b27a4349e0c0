"""Refusals by the gateway itself. How an agent is told is its dialect's (`gateway.dialects`)."""

from collections.abc import Mapping


class Refused(Exception):
    """Answered by the gateway; the provider never sees the call."""

    def __init__(self, status: int, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    def headers(self) -> Mapping[str, str]:
        """When to come again, or, for the providers' own clients, that it is of no use."""
        if self.retry_after_seconds is not None:
            return {"retry-after": str(self.retry_after_seconds)}
        return {"x-should-retry": "false"} if 400 <= self.status < 500 and self.status != 429 else {}
