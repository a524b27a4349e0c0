"""Opens pages as a person's browser does, and keeps what was wrong meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.stack import ROOT
from tests.pages.addresses import Page as Address
from tests.scenes.serving import Scene

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Leaving a page before its socket is open is nobody's fault, and a page that is not there says so itself.
USUAL = ("WebSocket is closed before the connection is established", "status of 404")
_REFUSALS = """
window.refusals = [];
document.addEventListener("securitypolicyviolation", event =>
  refusals.push(`${event.effectiveDirective} refuses ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`));
"""
# Only what is wrong is told, for what is right is long.
_VIOLATIONS = """async tags => {
  const asked = { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] };
  const { violations } = await axe.run(asked);
  return violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`));
}"""
# The page has its socket, its fragments are there, and it was drawn.
_SETTLED = """() => {
  const live = document.documentElement.dataset.live;
  const waiting = document.body.dataset.subject && document.getElementById("live") && live !== "live";
  return !waiting && !document.querySelector(".htmx-request");
}"""


@dataclass
class Visit:
    """One page, opened once."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    status: int = 0

    def open(self, address: str) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", lambda socket: self.sockets.append(socket.url))
        self.page.on("request", lambda request: self.requests.append(request.url))
        answer = self.page.goto(address)
        assert answer, address
        self.status = answer.status
        self.page.wait_for_function(_SETTLED)

    def _hear(self, said: object) -> None:
        kind, text = getattr(said, "type", ""), getattr(said, "text", "")
        if kind in {"error", "warning"} and not any(usual in text for usual in USUAL):
            self.complaints.append(text)

    def refusals(self) -> list[str]:
        """What the content security policy refused."""
        found: list[str] = self.page.evaluate("refusals")
        return found

    def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found: list[str] = self.page.evaluate(_VIOLATIONS, TAGS)
        return found

    def overflow(self, width: int) -> int:
        """Pixels that it is wider than a window of that width."""
        self.page.set_viewport_size({"width": width, "height": 900})
        found: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
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
def visiting(
    context: BrowserContext, scene: Scene, address: Address, width: int, height: int = 900
) -> Iterator[Visit]:
    """The page, settled, in a window of that size."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    visit = Visit(page)
    try:
        visit.open(address.at(scene.url, scene.ids))
        yield visit
    finally:
        page.close()
