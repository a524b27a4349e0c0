"""What a machine used, over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone

from guests.models import Usage
from machines.models import Machine

MINUTE = timedelta(minutes=1)


@pytest.fixture
def measured(machine: Machine) -> Machine:
    """A machine with the last hundred minutes measured."""
    now = timezone.now().replace(second=0, microsecond=0)
    Usage.objects.bulk_create(
        Usage(guest=machine.guest, at=now - number * MINUTE, cpu_seconds=number, memory_bytes=1, sent_bytes=7)
        for number in range(1, 101)
    )
    return machine


def path(machine: Machine) -> str:
    return f"/api/v1/machines/{machine.handle}/usage/"


class TestUsage:
    def test_the_last_hour_is_shown_oldest_first(self, api, measured):
        found = api("alice").get(path(measured)).data["results"]

        assert [row["cpu_seconds"] for row in found] == [float(n) for n in range(len(found), 0, -1)]
        assert 59 <= len(found) <= 60
        assert found[0]["sent_bytes"] == 7

    def test_any_span_can_be_asked_for(self, api, measured):
        until = timezone.now() - 50 * MINUTE
        asked = {"since": (until - 20 * MINUTE).isoformat(), "until": until.isoformat()}
        found = api("alice").get(path(measured), asked).data["results"]

        assert len(found) == 20

    def test_a_span_that_is_too_long_is_refused(self, api, measured):
        asked = {"since": (timezone.now() - timedelta(days=8)).isoformat()}

        assert api("alice").get(path(measured), asked).status_code == 400

    def test_a_time_that_is_none_is_refused(self, api, measured):
        assert api("alice").get(path(measured), {"since": "yesterday"}).status_code == 400

    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may_see_it(self, api, measured, who, status):
        assert api(who).get(path(measured)).status_code == status


class TestNetworkOverRest:
    @pytest.mark.parametrize("network", ["sealed", "hub", "open"])
    def test_a_spawn_says_its_network_and_the_machine_shows_it(self, api, funded, genesis, network):
        asked = {"project": "demo", "type": "vibe", "prompt": "Go", "network": network}
        answer = api("alice").post("/api/v1/machines/", asked)

        assert (answer.status_code, answer.data["network"]) == (202, network)

    def test_a_profile_that_there_is_not_is_refused(self, api, funded, genesis):
        asked = {"project": "demo", "type": "vibe", "prompt": "Go", "network": "airtight"}

        assert api("alice").post("/api/v1/machines/", asked).status_code == 400

    def test_the_types_say_what_theirs_is_here(self, api, db, settings):
        settings.MACHINE_NETWORK = "sealed"
        found = api("alice").get("/api/v1/machine-types/").data["results"]

        assert {row["network"] for row in found} == {"sealed"}
