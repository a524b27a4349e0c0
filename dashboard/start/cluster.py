"""What a first run needs of the cluster: that Proxmox answers, and that there is a template. From the last check of it,
and from what machines have shown since; Proxmox itself is asked nothing here.
"""

from django.conf import settings

from dashboard import words
from dashboard.start.facts import Facts
from dashboard.start.step import Step
from guests import diagnoses
from proxmox.diagnosis.findings import Finding, Report, Status

BAD = (Status.MISSING, Status.UNKNOWN)
CONNECTING = "It is where machines run: each is a VM of its own on it."
TEMPLATING = "Machines are clones of it: it holds a Linux, the guest agent, and the agents' programs."


def steps(facts: Facts) -> list[Step]:
    report = Report.read(facts.checked.findings) if facts.checked else None
    return [_connected(facts, report), _template(facts, report)]


def _connected(facts: Facts, report: Report | None) -> Step:
    title, link = "Proxmox VE", ("The whole check", "dashboard:settings")
    if facts.asked and diagnoses.is_under_way(facts.asked):
        return Step("proxmox", title, "busy", "It is being checked.", CONNECTING, link=link)
    if report is None:
        said = "Nobody has checked the connection yet."
        if facts.observed_at:
            said = f"It told of a guest {words.ago(facts.observed_at)}, but nobody has checked the connection yet."
        return Step("proxmox", title, "open", said, CONNECTING, form="check", link=link)
    wrong = [one for one in report.findings if one.status in BAD and one.section != "Template"]
    if wrong:
        return _failed("proxmox", title, wrong, CONNECTING, form="check", link=link)
    version = next((one.sentence for one in report.findings if one.name == "Version"), "It answers.")
    at = facts.checked.finished_at if facts.checked else None
    checked = f", checked {words.ago(at)}" if at else ""
    return Step("proxmox", title, "done", f"{version.rstrip('.')}{checked}.", CONNECTING, link=link)


def _template(facts: Facts, report: Report | None) -> Step:
    title, build = "A template", ("bin/manage template build claude-code",)
    if facts.ran:
        return Step("template", title, "done", "Machines have been cloned from one and have run.", TEMPLATING)
    found = [one for one in report.findings if one.section == "Template"] if report else []
    wrong = [one for one in found if one.status in BAD]
    if wrong:
        return _failed("template", title, wrong, TEMPLATING)
    if found:
        return Step("template", title, "done", f"{found[0].name}: {found[0].sentence}", TEMPLATING)
    template = settings.PROXMOX_TEMPLATE
    if facts.node:
        said = f"VM {template} on node {facts.node} was one when autovibe was set up. Check Proxmox to look again."
        return Step("template", title, "enough", said, TEMPLATING)
    said = f"VM {template} is to be it, and nobody has seen it yet."
    return Step("template", title, "open", said, TEMPLATING, commands=build)


def _failed(
    key: str, title: str, wrong: list[Finding], why: str, *, form: str = "", link: tuple[str, str] = ("", "")
) -> Step:
    first = wrong[0]
    more = f" And {len(wrong) - 1} more." if wrong[1:] else ""
    said = f"{first.name}: {first.sentence}{more}"
    return Step(key, title, "failed", said, why, commands=first.commands, form=form, link=link)
