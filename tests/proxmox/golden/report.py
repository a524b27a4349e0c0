"""Judge what was played, and write the table for people: `python -m tests.proxmox.golden.report`.

It plays both recordings and writes docs/proxmox-compatibility.md.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.node_process import ROOT
from tests.proxmox.golden.deviations import DEVIATIONS, Deviation
from tests.proxmox.golden.replay import Outcome, player
from tests.proxmox.golden.script import PHASES, RELEASES

PAGE = ROOT / "docs/proxmox-compatibility.md"
SHOWN = 4  # labels of steps for each known deviation
Played = dict[str, list[Outcome]]

_HEAD = """\
# How close the embedded node is to Proxmox VE

Written by `python -m tests.proxmox.golden.report`; a test checks that it is current. Do not edit.

Two recordings of a real Proxmox VE, 8.4.21 and 9.2.11 (one node, `dir` storage with qcow2), are played against the
embedded node, request by request. Compared are: status, reason phrase, `errors`, `message`, the keys and JSON types of
bodies, values that mean the same everywhere, the lines of task logs, and how tasks end. Not compared are numbers that
depend on the computer, UPIDs, digests and addresses beyond their form, and lines of logs about formats, amounts and
progress. Polls are not replayed: tasks, commands and booting guests are waited for. Where the recording does something
during a task, the replay slows that task down; waiting times for locks and agents are options, and short.
"""
_TAIL = """\
## What no recording shows

- A VM has one directory of files, whatever disks its configuration names; it belongs to the first disk. Moving that
  disk to another storage changes its name only.
- The only images that become a disk are tar archives of a guest's files (plain, gzip, xz, zstd), whatever their name
  ends with; qcow2, raw and vmdk fail in the task, which says so. Names ending in `.tar`, `.tar.gz`, `.tgz`, `.tar.xz`
  and `.tar.zst` are taken for `import` besides Proxmox's own.
- Cloud-init settings, the cloud-init drive and `cloudinit/dump` are kept and shown; guests do not read them.
- Only `dir` storages can be added over the API. LVM-thin, ZFS and volume chains follow Proxmox's source, not a
  recording.
"""


@dataclass
class Judgement:
    """What the deviations explain of a phase, and what they do not."""

    unexplained: list[str] = field(default_factory=list)
    used: set[Deviation] = field(default_factory=set)


def judged(release: str, outcomes: Iterable[Outcome]) -> Judgement:
    """Hold differences against the table."""
    judgement = Judgement()
    for outcome in outcomes:
        for difference in outcome.differences:
            rows = explanations(release, outcome, difference)
            judgement.used |= set(rows)
            if not rows:
                judgement.unexplained.append(f"{outcome.step['step']} [{outcome.label}] {difference}")
    return judgement


def explanations(release: str, outcome: Outcome, difference: str) -> list[Deviation]:
    """The rows of the table that explain a difference."""
    phase = outcome.step["phase"]
    return [row for row in DEVIATIONS if row.explains(release, phase, outcome.label, difference)]


def endpoint(outcome: Outcome) -> str:
    """The method and path of a step, with names for what stands in the path."""
    path = re.sub(r"^/api2/(?:json|extjs)", "", outcome.step["path"])
    for pattern, name in _IN_PATHS:
        path = re.sub(pattern, name, path)
    return f"{outcome.step['method']} {path}"


_IN_PATHS = (
    (r"^/nodes/[^/]+", "/nodes/{node}"),
    (r"/qemu/[^/]+", "/qemu/{vmid}"),
    (r"/tasks/[^/]+", "/tasks/{upid}"),
    (r"/content/.+", "/content/{volume}"),
    (r"/snapshot/[^/]+", "/snapshot/{snapname}"),
    (r"/token/[^/]+", "/token/{tokenid}"),
    (r"/users/[^/]+", "/users/{userid}"),
    (r"/(pools|roles)/[^/]+", r"/\1/{id}"),
    (r"(/nodes/{node})?/storage/[^/]+", r"\1/storage/{storage}"),
)


def error_texts(outcome: Outcome) -> set[str]:
    """What a step says went wrong: reason phrase, complaints about parameters, the end of a task."""
    if "task" in outcome.step:
        status = outcome.step["task"]["exitstatus"]
        return set() if status == "OK" else {status}
    answer = outcome.step["answer"]
    if answer["status"] == 200:
        return set()
    return {answer["reason"], *answer.get("errors", {}).values()}


def page(played: dict[str, Played]) -> str:
    """The whole document."""
    return "\n".join((_HEAD, *_counts(played), "", *_totals(played), "", *_rows(played), "", _TAIL))


def _counts(played: dict[str, Played]) -> Iterator[str]:
    yield "| phase | " + " | ".join(f"{release}: steps | as recorded" for release in RELEASES) + " |"
    yield "|---|" + "---:|---:|" * len(RELEASES)
    for phase in PHASES:
        cells = [phase]
        for release in RELEASES:
            outcomes = played[release][phase]
            cells += [str(len(outcomes)), str(sum(not outcome.differences for outcome in outcomes))]
        yield "| " + " | ".join(cells) + " |"


def _totals(played: dict[str, Played]) -> Iterator[str]:
    for release in RELEASES:
        outcomes = [outcome for phase in played[release].values() for outcome in phase]
        requests = [outcome for outcome in outcomes if "wait" not in outcome.step]
        endpoints, right = (
            {endpoint(o) for o in requests},
            {endpoint(o) for o in requests if not o.differences},
        )
        texts = {text for outcome in outcomes for text in error_texts(outcome)}
        told = {text for outcome in outcomes if not outcome.differences for text in error_texts(outcome)}
        same = sum(not outcome.differences for outcome in outcomes)
        yield (
            f"- {release}: {same} of {len(outcomes)} steps are as recorded; of {len(endpoints)} endpoints"
            f" {len(right)}, of {len(texts)} error texts {len(told)} are reproduced at least once."
        )
        yield from (f"  - never as recorded: `{each}`" for each in sorted(endpoints - right))
        yield from (f"  - not reproduced: `{each.strip()}`" for each in sorted(texts - told))


def _rows(played: dict[str, Played]) -> Iterator[str]:
    yield "## Known deviations"
    yield ""
    yield "| phase | steps | releases | why |"
    yield "|---|---|---|---|"
    labels: dict[Deviation, dict[str, None]] = defaultdict(dict)
    for release in RELEASES:
        for outcome in (outcome for outcomes in played[release].values() for outcome in outcomes):
            for difference in outcome.differences:
                for row in explanations(release, outcome, difference):
                    labels[row][re.sub("/(status|log)$", "", outcome.label)] = None
    for row in DEVIATIONS:
        told = _shortened([f"“{label}”" for label in labels[row]]).replace("|", "\\|")
        yield f"| {row.phase.replace(',', ', ')} | {told} | {', '.join(row.releases)} | {row.why} |"


def _shortened(labels: list[str]) -> str:
    more = len(labels) - SHOWN
    return ", ".join(labels[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def play(release: str) -> Played:
    """Play everything to a fresh node."""
    with tempfile.TemporaryDirectory() as directory, player(Path(directory), release) as playing:
        return playing.play_all()


def main() -> None:
    with ThreadPoolExecutor(len(RELEASES)) as threads:
        played = dict(zip(RELEASES, threads.map(play, RELEASES), strict=True))
    PAGE.write_text(page(played), encoding="utf-8")


if __name__ == "__main__":
    main()
