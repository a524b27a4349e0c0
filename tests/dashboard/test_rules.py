"""The page of a project's rules for checkpoints: when they are taken, how long they are kept, and pruning."""

from datetime import timedelta

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Rules
from checkpoints.states import State
from machines.models import Machine
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

RULES = "/p/demo/checkpoints/rules/"


def page_of(browser: Browser, who: str = "alice", query: str = "") -> str:
    return browser(who).get(RULES + query).content.decode()


def post(browser: Browser, what: str, who: str = "alice", **values: str) -> str:
    return browser(who).post(f"{RULES}{what}/", values, follow=True).content.decode()


@pytest.fixture
def old(machine: Machine) -> list[Checkpoint]:
    """Some more, taken long ago, of which few rules keep any."""
    made = [rows.checkpoint(machine, {"a.py": f"{number}\n" * 40}) for number in range(8)]
    long_ago = timezone.now() - timedelta(days=900)
    Checkpoint.objects.filter(pk__in=[one.pk for one in made]).update(
        captured_at=long_ago, created_at=long_ago
    )
    return made


class TestThePage:
    def test_it_tells_what_holds_what_is_stored_and_what_stays(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = page_of(browser, "bob")

        assert "as the machine types say" in page
        assert "every call, on request, and at the end" in page
        assert "Files for each stored byte" in page
        assert f"the newest of {machine.handle}" in page or f"of the last 50 of {machine.handle}" in page

    def test_who_may_not_manage_changes_nothing(self, browser: Browser, machine: Machine) -> None:
        page = page_of(browser, "bob")

        assert "<textarea" not in page
        assert "Keep these rules" not in page

    def test_what_machines_store_is_reckoned_when_asked_for(self, browser: Browser, machine: Machine) -> None:
        assert "Reckon it" in page_of(browser)
        assert f'href="/machines/{machine.handle}/"' in page_of(browser, query="?machines")

    def test_many_checkpoints_take_no_more_queries(
        self, browser: Browser, machine: Machine, old: list[Checkpoint], django_assert_max_num_queries
    ) -> None:
        client = browser("alice")
        client.get(RULES)
        with django_assert_max_num_queries(32):
            client.get(RULES)


class TestThePolicy:
    def test_what_is_said_is_kept_and_the_rest_is_left_to_the_types(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        page = post(
            browser, "policy", calls="5", skip="no", timing="", durable="3", before="usual\nterraform destroy"
        )

        said = Rules.objects.get(project=project).policy
        assert said == {"calls": 5, "skip": False, "durable": 3, "before": ["usual", "terraform destroy"]}
        assert "every 5 calls" in page
        assert "terraform destroy</textarea>" in page

    def test_none_is_an_empty_list(self, browser: Browser, project: Project, machine: Machine) -> None:
        post(browser, "policy", before="none")

        assert Rules.objects.get(project=project).policy == {"before": []}
        assert ">none</textarea>" in page_of(browser)

    def test_nothing_said_is_as_the_types_have_it(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        post(browser, "policy", calls="5")
        post(browser, "policy")

        assert Rules.objects.get(project=project).policy == {}

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"percent": "900"}, "percent is 900; expected"),
            ({"durable": "sometimes"}, "durable is"),
            ({"before": "(("}, "before:"),
            ({"calls": "many"}, "whole number"),
        ],
    )
    def test_what_is_no_policy_is_refused_and_stays_in_the_form(
        self, values: dict[str, str], sentence: str, browser: Browser, machine: Machine
    ) -> None:
        response = browser("alice").post(f"{RULES}policy/", values)

        page = response.content.decode()
        assert response.status_code >= 400
        assert sentence in page
        assert next(iter(values.values())) in page
        assert not Rules.objects.exists()


class TestRetention:
    def test_other_rules_are_tried_without_being_set(
        self, browser: Browser, machine: Machine, old: list[Checkpoint]
    ) -> None:
        kept = page_of(browser)
        tried = post(
            browser, "retention", preview="1", keep_last="1", hourly="0", daily="0", weekly="0", monthly="0"
        )

        assert "Nothing would go" in kept
        assert "This is what the rules in the form would do" in tried
        assert "9 of 11 checkpoints would go" in tried
        assert "no rule keeps it" in tried
        assert "Prune now" not in tried
        assert not Rules.objects.exists()

    def test_they_are_set_and_told(self, browser: Browser, project: Project, machine: Machine) -> None:
        page = post(browser, "retention", keep_last="3", milestones="no")

        assert Rules.objects.get(project=project).retention == {"keep_last": 3, "milestones": False}
        assert "last 3" in page
        assert "milestones no" in page

    def test_what_is_no_rule_is_refused(self, browser: Browser, machine: Machine) -> None:
        response = browser("alice").post(f"{RULES}retention/", {"milestones": "perhaps"})

        assert response.status_code >= 400
        assert "milestones is a whole number" in response.content.decode()

    def test_pruning_asks_first_and_then_has_it_done(
        self, browser: Browser, project: Project, machine: Machine, old: list[Checkpoint]
    ) -> None:
        post(browser, "retention", keep_last="1", hourly="0", daily="0", weekly="0", monthly="0")
        asked = browser("alice").get(f"{RULES}prune/").content.decode()

        mistyped = post(browser, "prune", typed="dem")
        assert "That is not demo. Nothing was done." in mistyped
        assert not Checkpoint.objects.filter(state=State.PRUNING).exists()
        page = post(browser, "prune", typed="demo")

        assert "Delete 9 checkpoints" in asked
        assert "9 checkpoints are being deleted." in page
        assert Checkpoint.objects.filter(state=State.PRUNING).count() == 9
