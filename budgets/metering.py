"""Charges for what is measured afterwards: time and compute of machines."""

from uuid import UUID

from budgets.ledger import _settle, release, settle_figures
from budgets.models import Reservation


def assume(reservation_id: UUID, figures: dict[str, int]) -> None:
    """End a hold by a bound for the time being, and free the rest of it. `settle_figures` puts it right later."""
    _settle(reservation_id, to=Reservation.State.EXPIRED, kind="assumed", figures=figures)


def cancel(reservation_id: UUID) -> None:
    """Nothing was used, even if the hold has expired meanwhile."""
    if not release(reservation_id):
        settle_figures(reservation_id, {})
