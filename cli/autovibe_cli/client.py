"""The REST API over HTTP: requests, refusals as sentences, and asking again while a server restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, NoReturn, TypeVar
from urllib import error as urls
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from autovibe_cli import __version__
from autovibe_cli.errors import AnswerLost, Failure, Unreachable
from autovibe_cli.profiles import Profile
from autovibe_cli.verbs import table

TIMEOUT_SECONDS = 60
PATIENCE_SECONDS = 300  # how long a server may take to restart
PAUSE_SECONDS = 1.0
PAGE_SIZE_MAX = 200
DOWNLOAD_BYTES = 64 * 1024
# What stands between says this while the server restarts, or asks for patience itself.
PASSING = {429, 502, 503, 504}

Json = dict[str, Any]
Answer = TypeVar("Answer")


class Client:
    """The API of one server, as one user. `notice` is told when it has to wait."""

    def __init__(
        self, profile: Profile, notice: Callable[[str], None], *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        parts = urlsplit(profile.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Failure(
                f"{profile.url!r} ({profile.origin}) is not an address such as https://autovibe.example.com"
            )
        self.url = profile.url.rstrip("/")
        self._profile = profile
        self._notice = notice
        self._timeout = timeout
        proxies = [ProxyHandler({})] if is_loopback(parts.hostname) else []
        self._opener = build_opener(_StayHere, *proxies)

    def get(self, *segments: str, **query: object) -> Any:
        """What the API has at `/api/v1/<segments>/`; parameters that are None are left out."""
        return self._decoded(self._send("GET", segments, query))

    def get_bytes(self, *segments: str, **query: object) -> bytes:
        return self._send("GET", segments, query)

    def get_all(self, *segments: str, limit: int, **query: object) -> dict[str, Any]:
        """Up to `limit` rows of a paged list; `more` says whether there are others."""
        rows: list[Any] = []
        query["page_size"] = min(limit, PAGE_SIZE_MAX)
        while True:
            page = self.get(*segments, **query)
            rows += page["results"]
            if not page.get("next") or len(rows) >= limit:
                return {"results": rows[:limit], "more": bool(page.get("next")) or len(rows) > limit}
            # Behind a proxy the address may name another host; its query is what counts.
            query.update({name: values[0] for name, values in parse_qs(urlsplit(page["next"]).query).items()})

    def post(self, *segments: str, body: object = None, key: str | None = None) -> Any:
        """Ask for something. With an idempotency `key` it is asked again when the answer is lost."""
        headers = {"Idempotency-Key": key} if key else {}

        def ask() -> Any:
            return self._decoded(self._send("POST", segments, {}, body or {}, headers))

        try:
            return ask()
        except AnswerLost:
            if not key:
                raise
            return self.patiently(ask)

    def do(self, verb: str, body: object = None, **values: str) -> Any:
        """Ask for a verb of the table, of what `values` name."""
        wanted = table()[verb]
        segments = wanted.segments(**values)
        return self._decoded(self._send(wanted.method, segments, {}, {} if body is None else body))

    def put(self, *segments: str, body: object) -> Any:
        return self._decoded(self._send("PUT", segments, {}, body))

    def patch(self, *segments: str, body: object) -> Any:
        return self._decoded(self._send("PATCH", segments, {}, body))

    def delete(self, *segments: str, **query: object) -> None:
        self._send("DELETE", segments, query)

    def raw(
        self, method: str, path: str, *, query: Json, body: object = None, headers: dict[str, str]
    ) -> tuple[bytes, str]:
        """Any request below `/api/v1/`, or to a path from the root; its answer, and what kind of content that is."""
        address = urljoin(f"{self.url}/api/v1/", path)
        if urlsplit(address).netloc != urlsplit(self.url).netloc:
            raise Failure(f"{address} is not on {self.url}, which alone is shown the token.")
        request = self._to(method, address, query, body, headers)
        with self._answer(method, request) as response:
            return bytes(response.read()), str(response.headers.get("Content-Type", ""))

    def download(self, *segments: str, accept: str, **query: object) -> Iterator[bytes]:
        """A long answer in another format, as it comes."""
        request = self._request("GET", segments, query, None, {"Accept": accept})
        with self._answer("GET", request) as response:
            while piece := response.read(DOWNLOAD_BYTES):
                yield piece

    def lines(self, *segments: str, accept: str, **query: object) -> Iterator[str]:
        """An answer that goes on and on, line by line as it comes."""
        request = self._request("GET", segments, query, None, {"Accept": accept})
        with self._answer("GET", request) as response:
            for line in response:
                yield line.decode()

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again while the server is away. Only for what may be asked twice."""
        deadline, waiting = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            try:
                answer = ask()
            except Unreachable as failure:
                if time.monotonic() > deadline:
                    raise
                if not waiting:
                    self._notice(f"{failure} Trying again …")
                waiting = True
                time.sleep(PAUSE_SECONDS)
            else:
                if waiting:
                    self._notice("The server is back.")
                return answer

    def _send(
        self,
        method: str,
        segments: tuple[str, ...],
        query: dict[str, object],
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        with self._answer(method, self._request(method, segments, query, body, headers or {})) as response:
            return bytes(response.read())

    @contextmanager
    def _answer(self, method: str, request: Request) -> Iterator[Any]:
        """The open answer; what goes wrong until it has been read is said in a sentence."""
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                yield response
        except urls.HTTPError as error:
            self._refused(error)
        except (
            urls.URLError
        ) as error:  # urllib wraps what goes wrong before the request is out, and only that
            raise Unreachable(f"{self.url} cannot be reached: {_reason(error.reason)}") from None
        except (OSError, HTTPException) as error:
            raise self._lost(method, f"{error}" or type(error).__name__) from None

    def _request(
        self,
        method: str,
        segments: tuple[str, ...],
        query: dict[str, object],
        body: object,
        headers: dict[str, str],
    ) -> Request:
        address = "/".join([self.url, "api/v1", *(quote(segment, safe="") for segment in segments), ""])
        return self._to(method, address, query, body, headers)

    def _to(
        self, method: str, address: str, query: Mapping[str, object], body: object, headers: Mapping[str, str]
    ) -> Request:
        given = {name: value for name, value in query.items() if value is not None}
        return Request(
            address + (("&" if "?" in address else "?") + urlencode(given) if given else ""),
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._profile.token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": f"autovibe-cli/{__version__}",
                **headers,
            },
        )

    def _decoded(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise Failure(f"{self.url} answers, but not as autovibe does. Is the address right?") from None

    def _lost(self, method: str, reason: str) -> AnswerLost:
        sentence = f"The answer of {self.url} was lost ({reason})."
        if method != "GET":
            sentence += " It may have been done or not: look before you ask again."
        return AnswerLost(sentence)

    def _refused(self, error: urls.HTTPError) -> NoReturn:
        """Raise what an answer with an error status means."""
        if error.code in PASSING:
            raise AnswerLost(f"{self.url} answered {error.code} {error.reason}.") from None
        if location := error.headers.get("Location"):
            raise Failure(f"{self.url} redirects to {location}. Use the address it has now.") from None
        raise Failure(self._sentence(error)) from None

    def _sentence(self, error: urls.HTTPError) -> str:
        """The problem's own sentence, and what helps to follow it up."""
        try:
            problem = json.loads(error.read())
            sentence = str(problem["detail"])
        except (OSError, HTTPException, ValueError, TypeError, KeyError):
            problem = {}
            sentence = (
                f"{error.url} answered {error.code} {error.reason}, and not as autovibe's API does. "
                "Are address and name right?"
            )
        if error.code == 401:
            return f"{sentence} The token is the one from {self._profile.origin}."
        request_id = problem.get("request_id") or error.headers.get("X-Request-Id")
        return f"{sentence} (request {request_id})" if error.code >= 500 and request_id else sentence


class _StayHere(HTTPRedirectHandler):
    """Redirects are errors: followed, they would turn a POST into a GET and show the token to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that no proxy applies and nothing leaves it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(reason: object) -> str:
    text = str(getattr(reason, "strerror", None) or reason)
    if "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return "its certificate is not trusted here. Name your authority's file in SSL_CERT_FILE."
    return f"{text}. Is it running? Start it with bin/dev, or check the address."
