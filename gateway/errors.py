"""Refusals in the shape of the Messages API, which agents know how to read.

Claude Code gives up at once on 402, prints the sentence of a 400, and tries again after 429, 529 and 5xx.
"""

from collections.abc import Mapping

# https://docs.claude.com/en/api/errors
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Refused(Exception):
    """Answered by the gateway itself; the provider never sees the call."""

    def __init__(self, status: int, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    def headers(self) -> Mapping[str, str]:
        return {} if self.retry_after_seconds is None else {"retry-after": str(self.retry_after_seconds)}

    def body(self, request_id: str) -> dict[str, object]:
        error = {"type": TYPES.get(self.status, "api_error"), "message": str(self)}
        return {"type": "error", "error": error, "request_id": request_id}
