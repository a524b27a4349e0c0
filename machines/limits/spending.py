"""What the ledger's machine ids stand for: names and types of machines, and what each type used. Queries only."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from budgets.reports import Breakdown, Used
from machines.models import Machine


def handles(ids: Iterable[UUID]) -> dict[UUID, str]:
    """The machines' handles, by id."""
    numbers = Machine.objects.filter(pk__in=set(ids)).values_list("pk", "number")
    return {key: f"m{number}" for key, number in numbers}


def named(cut: Mapping[Any, Used], names: Mapping[Any, str]) -> dict[str, Used]:
    """A cut of a breakdown by what its keys are called; "" for what is of none of them."""
    return {names.get(key, f"{key}") if key else "": used for key, used in cut.items()}


def by_type(found: Breakdown) -> dict[str, Used]:
    """The breakdown cut by type of machine; "" for what no machine used."""
    ids = {key for key in found.machines if key}
    types = dict(Machine.objects.filter(pk__in=ids).values_list("pk", "type"))
    cut: dict[str, Used] = {}
    for key, used in found.machines.items():
        kind = types.get(key, "") if key else ""
        cut[kind] = cut.get(kind, Used()) + used
    return cut
