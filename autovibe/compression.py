"""Pages are sent compressed: a fleet of 500 machines is 120 KB of HTML, and a tenth of that on the wire.

Answers of the API are left to a proxy: compressing weakens an ETag, and `If-Match` wants strong ones; a stream of
events would be held back. `docs/security.md` says why compressing pages gives nobody their secrets.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class PagesGZipMiddleware(GZipMiddleware):
    """Compresses HTML that is there as a whole."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        html = response.headers.get("Content-Type", "").startswith("text/html")
        return super().process_response(request, response) if html and not response.streaming else response
