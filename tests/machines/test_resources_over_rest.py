"""What a machine used and what it has left, over REST."""

from datetime import UTC, datetime

from budgets import actions as budgets
from budgets.models import LedgerEntry
from machines.models import Machine


def entry(machine: Machine, key: str, **amounts: object) -> LedgerEntry:
    now = datetime.now(UTC)
    month = now.date().replace(day=1)
    given = {
        "kind": "usage",
        "windows": [],
        "amounts": [],
        "project": machine.project,
        "machine_id": machine.id,
    }
    return LedgerEntry(month=month, key=key, created_at=now, **(given | amounts))


class TestMachineResources:
    def test_its_own_use_is_cut_by_model_and_day(self, api, machine: Machine, alice):
        budgets.set_limit(
            machine.project, "money", 500, by=alice, machine_id=machine.id, scope=f"Machine {machine.handle}"
        )
        LedgerEntry.objects.bulk_create(
            [
                entry(machine, "1", label="haiku", micros=30, calls=1),
                entry(machine, "2", label="compute", wall_seconds=60),
                entry(machine, "3", label="haiku", micros=99, calls=1, machine_id=None),
            ]
        )
        found = api("alice").get(f"/api/v1/machines/{machine.handle}/resources/").data
        assert {part["name"]: part["used"]["micros"] for part in found["models"]} == {
            "haiku": 30,
            "compute": 0,
        }
        assert (found["used"]["calls"], found["used"]["wall_seconds"]) == (1, 60)
        assert [day["used"]["micros"] for day in found["days"]] == [30]
        assert [(one["kind"], one["limit"], one["forecast"]) for one in found["budgets"]] == [
            ("machine", 500, None)
        ]

    def test_it_is_not_there_for_strangers(self, api, machine: Machine):
        assert api("charlie").get(f"/api/v1/machines/{machine.handle}/resources/").status_code == 404
