"""`/metrics`: the budgets and the gateway as figures for Prometheus, read from the database at each scrape."""

import hmac
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import CharField, Count, F, Func, Sum, Value
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from budgets import audit, watch
from budgets.models import Window
from gateway.models import Call
from machines.models import Machine

_CALLS = Call.objects.filter(state__in=(Call.State.ADMITTED, Call.State.STREAMING))
AMOUNTS = {
    "limit": "The limits of all open budgets.",
    "reserved": "What is held under them for what is under way.",
    "spent": "What was spent under them.",
    "overrun": "What was used beyond every bound.",
}


def metrics(request: HttpRequest) -> HttpResponse:
    """In the text format, for staff and whoever shows `METRICS_TOKEN`; nobody else learns that it is there."""
    if not _may_read(request):
        return HttpResponse(status=404)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    shown = request.headers.get("Authorization", "").encode()
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    if settings.METRICS_TOKEN and hmac.compare_digest(shown, expected):
        return True
    return bool(getattr(request.user, "administers", False))


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _budgets()
        yield _one(
            "autovibe_budget_violations", "Balances with spent + reserved > limit.", watch.violations()
        )
        if last := audit.latest():
            differences = last.data["differences"]
            yield _one("autovibe_ledger_differences", "Balances that differed from the ledger.", differences)
            age = (timezone.now() - last.at).total_seconds()
            yield _one("autovibe_ledger_verified_seconds", "Time since that was looked at.", age)
        yield _by_state("autovibe_calls", "Model calls under way.", _CALLS)
        yield _by_state("autovibe_machines", "Machines that have not ended.", Machine.objects.live())


def _budgets() -> Iterator[Metric]:
    """Sums over open windows, by resource and by what kind of holder they have."""
    kind = Func(F("holder"), Value(":"), Value(1), function="split_part", output_field=CharField())
    by = Window.objects.open().values("resource", kind=kind).order_by("resource", "kind")
    rows = list(by.annotate(**{f"of_{name}": Sum(name) for name in AMOUNTS}))
    for name, said in AMOUNTS.items():
        family = GaugeMetricFamily(f"autovibe_budget_{name}", said, labels=("resource", "holder"))
        for row in rows:
            family.add_metric((row["resource"], row["kind"]), float(row[f"of_{name}"]))
        yield family


def _by_state(name: str, said: str, rows: Any) -> Metric:
    family = GaugeMetricFamily(name, said, labels=("state",))
    for state, count in rows.order_by("state").values_list("state").annotate(Count("pk")):
        family.add_metric((state,), count)
    return family


def _one(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=value)
