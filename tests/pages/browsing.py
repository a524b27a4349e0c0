"""Opens pages as a person's browser does, and keeps what was wrong meanwhile."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, BrowserContext, Page

from autovibe.repeats import DONE
from tests.e2e.stack import ROOT
from tests.pages.addresses import Page as Address
from tests.scenes.serving import Scene

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
USUAL = "WebSocket is closed before the connection is established"  # whoever leaves before is not at fault
_REFUSALS = """
window.refusals = [];
document.addEventListener("securitypolicyviolation", event =>
  refusals.push(`${event.effectiveDirective} refuses ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`));
"""
COLOURS = ["color-contrast", "link-in-text-block"]  # what another theme can break
# Rows and lines after the sixth are made as those before; the first look has all of them.
ALIKE = ["tr:nth-child(n+7)", "li:nth-child(n+7)", ".log-line:nth-child(n+7)", "section:nth-of-type(n+7)"]
# Only what is wrong is told, for what is right is long.
_VIOLATIONS = """async ({ only, exclude }) => {
  const asked = { runOnly: only, resultTypes: ["violations"], preload: false };
  const { violations } = await axe.run({ include: [["html"]], exclude: exclude.map(each => [each]) }, asked);
  return violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`));
}"""
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_HIDDEN_TABS = """async () => {
  await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const hidden = tab => tab.getBoundingClientRect().right > tab.parentElement.getBoundingClientRect().right;
  return [...document.querySelectorAll(".tabs [aria-current]")].filter(hidden).map(tab => tab.textContent);
}"""
# The page has its socket, its fragments are there, and it was drawn.
_SETTLED = """() => {
  const live = document.documentElement.dataset.live;
  const waiting = document.body.dataset.subject && document.getElementById("live") && live !== "live";
  return !waiting && !document.querySelector(".htmx-request");
}"""


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    theme: str
    width: int
    height: int = 900

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


@dataclass
class Visit:
    """One page, opened once."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    status: int = 0

    def open(self, address: str) -> None:
        answer = self.page.goto(address)
        assert answer, address
        self.status = answer.status
        self.page.wait_for_function(_SETTLED)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what the page says and asks for."""
        events: dict[str, Callable[[Any], None]] = {
            "console": self._hear,
            "pageerror": lambda error: self.complaints.append(str(error)),
            "websocket": lambda socket: self.sockets.append(socket.url),
            "request": lambda request: self.requests.append(request.url),
        }
        for name, hear in events.items():
            self.page.on(name, hear)  # type: ignore[call-overload]
        try:
            yield
        finally:
            for name, hear in events.items():
                self.page.remove_listener(name, hear)

    def _hear(self, said: object) -> None:
        kind, text = getattr(said, "type", ""), getattr(said, "text", "")
        if kind in {"error", "warning"} and USUAL not in text:
            self.complaints.append(text)

    def refusals(self) -> list[str]:
        """What the content security policy refused."""
        found: list[str] = self.page.evaluate("refusals")
        return found

    def look(self, look: Look) -> None:
        """Resize the window and switch the theme of the page that is open."""
        self.page.emulate_media(color_scheme=look.theme)  # type: ignore[arg-type]
        self.page.set_viewport_size({"width": look.width, "height": look.height})

    def findings(self, looks: Iterable[Look]) -> dict[str, list[str]]:
        """What is wrong in each of the looks: all that axe asks once for each width, colours in both themes."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, list[str]] = {}
        widths: set[int] = set()
        for look in looks:
            self.look(look)
            found[str(look)] = self._violations(
                COLOURS if look.width in widths else None, ALIKE if widths else []
            )
            widths.add(look.width)
        return found

    def overflows(self, widths: Iterable[int]) -> dict[int, int]:
        """By how many pixels the page is wider than windows of these widths; those that it fits into are left out."""
        found: dict[int, int] = {}
        for width in widths:
            self.page.set_viewport_size({"width": width, "height": 800})
            found[width] = self.page.evaluate(_OVERFLOW)
        return {width: pixels for width, pixels in found.items() if pixels > 0}

    def hidden_tabs(self, width: int) -> list[str]:
        """Which tab one is at, where that cannot be seen in a window of this width."""
        self.page.set_viewport_size({"width": width, "height": 800})
        found: list[str] = self.page.evaluate(_HIDDEN_TABS)
        return found

    def _violations(self, rules: list[str] | None, exclude: list[str]) -> list[str]:
        only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
        found: list[str] = self.page.evaluate(_VIOLATIONS, {"only": only, "exclude": exclude})
        return found


def context_of(
    browser: Browser, scene: Scene, *, signed_in: bool = True, **options: object
) -> BrowserContext:
    """A browser of its own, in which nothing moves by itself."""
    context = browser.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
    context.add_init_script(_REFUSALS)
    if signed_in:
        context.add_cookies(scene.signed_in)  # type: ignore[arg-type]
    return context


@contextmanager
def visiting(context: BrowserContext, scene: Scene, address: Address, look: Look) -> Iterator[Visit]:
    """The page, settled, looked at like that. All of a context are opened in one tab: a new one takes its time."""
    tab = context.pages[0] if context.pages else context.new_page()
    tab.goto("about:blank")  # so that nothing of the page before is heard
    visit = Visit(tab)
    visit.look(look)
    where = address.at(scene.url, scene.ids)
    tab.unroute_all()
    if address.template:
        provide(tab, where, address)
    with visit.listening():
        visit.open(where)
        yield visit


def provide(page: Page, where: str, address: Address) -> None:
    """Answer with an error's page, which no scene can be asked for, in the server's place."""
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    body = render_to_string(address.template, {"offline_model": False, "sentence": DONE}, request)
    page.route(where, lambda route: route.fulfill(response=route.fetch(), status=address.status, body=body))
