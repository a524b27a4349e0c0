"""Figures for Prometheus, and who may read them."""

import re

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from budgets import actions as budgets
from budgets import audit
from projects.models import Project, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def token(settings) -> str:
    settings.METRICS_TOKEN = "scrape-me"
    return settings.METRICS_TOKEN


def scraped(token: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, which come in order of their names."""
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert re.match(r"text/plain; version=", answer["Content-Type"])
    families = text_string_to_metric_families(answer.content.decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


class TestMetrics:
    def test_balances_are_summed_by_resource_and_kind_of_holder(
        self, token: str, project: Project, alice: User
    ) -> None:
        budgets.set_limit(project, "money", 1000, by=alice)
        budgets.set_limit(project, "money", 500, by=alice, period="day")
        budgets.change_limit(budgets.Holder.of_system(), "calls", 7, by=alice)
        budgets.reserve(
            "one",
            payer=budgets.Payer(project.id),
            needs={"money": (40_000_000, 0)},
            wanted=1,
            minimum=1,
            label="x",
            seconds=60,
        )
        found = scraped(token)
        assert found["autovibe_budget_limit", "project", "money"] == 1500
        assert found["autovibe_budget_reserved", "project", "money"] == 80
        assert found["autovibe_budget_limit", "system", "calls"] == 7
        assert found["autovibe_budget_violations",] == 0

    def test_what_the_last_verification_found_is_told(self, token: str) -> None:
        assert ("autovibe_ledger_differences",) not in scraped(token)
        audit.verify()
        assert scraped(token)["autovibe_ledger_differences",] == 0


class TestAccess:
    @pytest.mark.parametrize(
        "sent", ["", "Bearer ", "Bearer scrape-m", "Basic scrape-me", "Bearer sch\u00f6n"]
    )
    def test_it_is_not_there_for_others(self, sent: str) -> None:
        assert Client().get("/metrics", headers={"Authorization": sent}).status_code == 404

    def test_without_a_token_nobody_has_it(self, settings) -> None:
        settings.METRICS_TOKEN = ""
        assert Client().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404

    def test_staff_may_read_it(self, alice: User) -> None:
        client = Client()
        client.force_login(alice)
        assert client.get("/metrics").status_code == 404
        User.objects.filter(pk=alice.pk).update(is_staff=True)
        assert client.get("/metrics").status_code == 200
