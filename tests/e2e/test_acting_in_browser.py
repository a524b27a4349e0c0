"""Acting in a real browser: the drawer over any page, one act for two clicks, and undoing it."""

import re

from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, page, pytestmark, signed_in

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


def test_the_drawer_tells_of_a_spawn_as_it_goes_and_leads_to_its_steps(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/audit/")
    page.get_by_role("link", name=re.compile("^Operations")).press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="Under way")).to_be_visible()

    handle = stack.spawn("Say hello.")
    row = drawer.locator(".operation", has_text="Spawning").filter(has_text=handle)
    expect(row).to_be_visible(timeout=15_000)
    expect(row.get_by_text("Succeeded")).to_be_visible(timeout=60_000)

    row.get_by_role("link", name="Spawning").press("Enter")
    steps = page.get_by_role("region", name="Steps")
    expect(steps.get_by_text("Cloning (done)")).to_be_visible()
    expect(steps.get_by_text(re.compile("qmclone"))).to_be_visible()


def test_an_end_is_undone_within_its_ten_seconds(page: Page, stack: Stack) -> None:
    handle = stack.spawn("echo started; sleep 600", kind="shell")
    stack.await_state(handle, "running")
    page.goto(f"{stack.url}/machines/{handle}/terminate/")

    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("button", name=f"Undo the end of {handle}").click()

    expect(page.get_by_text(f"{handle} is not terminated: it goes on.")).to_be_visible()
    expect(page.get_by_role("button", name=f"Undo the end of {handle}")).not_to_be_visible()
    assert stack.get(f"machines/{handle}/")["state"] == "running"


def test_two_clicks_end_a_machine_once_and_it_can_go_on(page: Page, stack: Stack) -> None:
    handle = stack.spawn("echo started; sleep 600", kind="shell")
    machine = stack.await_state(handle, "running")
    page.goto(f"{stack.url}/machines/{handle}/terminate/")
    form = page.locator("form", has=page.get_by_role("button", name="Terminate"))
    asked = {"form": form.evaluate("form => Object.fromEntries(new FormData(form))"), "max_redirects": 0}

    page.get_by_role("button", name="Terminate").dblclick()
    again = page.request.post(f"{stack.url}/machines/{handle}/terminate/", **asked)

    assert again.status == 302
    going_on = page.get_by_role("button", name=f"Let {handle} go on")
    expect(going_on).to_be_visible(timeout=60_000)
    asked_for = stack.get("operations/", subject=f"machine:{machine['id']}")["results"]
    verbs = [operation["verb"] for operation in asked_for]
    assert (verbs.count("terminate_soon"), verbs.count("terminate")) == (1, 1)
    going_on.click()
    stack.await_state(handle, "running")
    expect(going_on).not_to_be_visible(timeout=15_000)
