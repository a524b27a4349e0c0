"""Recordings of a real Proxmox VE, played against the embedded node: it answers the same, known deviations apart.

One phase of one release, with the phases that it builds on:
    pytest tests/proxmox/test_golden.py -k "9.2 and clone"
A failure lists every difference that no row of golden/deviations.py explains. What is compared and how requests are
made is in golden/replay.py; docs/proxmox-compatibility.md is written by `python -m tests.proxmox.golden.report`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.proxmox.golden import report
from tests.proxmox.golden.deviations import DEVIATIONS
from tests.proxmox.golden.replay import Player, player
from tests.proxmox.golden.script import PHASES, RELEASES

PLAYS = [(release, phase) for release in RELEASES for phase in PHASES]


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Player]]:
    """A node and its player for each release, started when first asked for."""
    players: dict[str, Player] = {}
    with ExitStack() as nodes:

        def of(release: str) -> Player:
            if release not in players:
                players[release] = nodes.enter_context(player(tmp_path_factory.mktemp("golden"), release))
            return players[release]

        yield of


class TestReplay:
    @pytest.mark.parametrize(
        ("release", "phase"), PLAYS, ids=[f"{release}-{phase}" for release, phase in PLAYS]
    )
    def test_the_node_answers_as_recorded(
        self, playing: Callable[[str], Player], release: str, phase: str
    ) -> None:
        judgement = report.judged(release, playing(release).play(phase))
        assert not judgement.unexplained, "\n" + "\n".join(judgement.unexplained)

    def test_every_known_deviation_still_deviates(self, playing: Callable[[str], Player]) -> None:
        played = {release: playing(release).play_all() for release in RELEASES}
        used = {
            row
            for release, phases in played.items()
            for outcomes in phases.values()
            for row in report.judged(release, outcomes).used
        }
        assert [row for row in DEVIATIONS if row not in used] == []

    def test_the_table_for_people_is_current(self, playing: Callable[[str], Player]) -> None:
        played = {release: playing(release).play_all() for release in RELEASES}
        assert report.PAGE.read_text(encoding="utf-8") == report.page(played)
