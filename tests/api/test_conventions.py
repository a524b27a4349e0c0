"""What holds for every view of the API: keys, tags, rates, parameters, and where to look for what was begun."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from autovibe.models import CallCount, KeptAnswer
from budgets import actions as budgets
from checkpoints.models import Checkpoint
from machines.models import Machine
from projects import actions as projects
from projects.models import ApiToken, Project, User
from projects.roles import Role

Api = Callable[[str], APIClient]
SPAWN = {"project": "demo", "type": "vibe", "prompt": "Write a fizzbuzz"}
KEY = {"Idempotency-Key": "k1"}


@pytest.fixture
def funded(project: Project, people: dict[str, User], genesis: Checkpoint) -> Project:
    budgets.set_limit(project, "money", 10_000_000, by=people["alice"])
    return project


class TestIdempotencyKey:
    def test_the_same_request_again_is_answered_as_the_first_time(self, api: Api, funded: Project) -> None:
        first, again = (api("alice").post("/api/v1/machines/", SPAWN, headers=KEY) for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json() == again.json()
        assert first["Location"] == again["Location"]
        assert Machine.objects.count() == 1

    def test_it_holds_for_every_post(self, api: Api, project: Project) -> None:
        asked = {"slug": "shop"}
        first, again = (api("alice").post("/api/v1/projects/", asked, headers=KEY) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()

    def test_another_body_with_the_same_key_is_refused(self, api: Api, funded: Project) -> None:
        api("alice").post("/api/v1/machines/", SPAWN, headers=KEY)
        other = api("alice").post("/api/v1/machines/", {**SPAWN, "prompt": "Another"}, headers=KEY)
        assert (other.status_code, other.json()["type"]) == (422, "urn:autovibe:idempotency-key-reused")

    def test_keys_of_two_callers_have_nothing_to_do_with_each_other(
        self, api: Api, funded: Project, people: dict[str, User]
    ) -> None:
        projects.admit(funded, people["bob"], Role.OWNER, by=people["alice"])
        ids = {
            api(name).post("/api/v1/machines/", SPAWN, headers=KEY).json()["id"] for name in ("alice", "bob")
        }
        assert len(ids) == 2

    def test_what_was_refused_may_be_asked_again(
        self, api: Api, project: Project, genesis: Checkpoint
    ) -> None:
        assert api("alice").post("/api/v1/machines/", SPAWN, headers=KEY).status_code == 402
        budgets.set_limit(project, "money", 10_000_000, by=User.objects.get(username="alice"))
        assert api("alice").post("/api/v1/machines/", SPAWN, headers=KEY).status_code == 202

    def test_answers_are_not_kept_in_clear(self, api: Api, project: Project) -> None:
        api("alice").post("/api/v1/projects/", {"slug": "a-secret-name"}, headers=KEY)
        kept = KeptAnswer.objects.get()
        assert b"a-secret-name" not in bytes(kept.sealed)
        assert "k1" not in kept.digest

    def test_after_a_day_a_key_is_forgotten(self, api: Api, project: Project) -> None:
        api("alice").post("/api/v1/projects/", {"slug": "one"}, headers=KEY)
        KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
        assert api("alice").post("/api/v1/projects/", {"slug": "two"}, headers=KEY).status_code == 201
        assert KeptAnswer.objects.count() == 1

    def test_a_key_that_is_too_long_is_refused(self, api: Api, project: Project) -> None:
        asked = {"Idempotency-Key": "k" * 101}
        response = api("alice").post("/api/v1/projects/", {"slug": "shop"}, headers=asked)
        assert (response.status_code, "100 characters" in response.json()["detail"]) == (400, True)


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_the_second_waits_and_is_answered_as_the_first(self, api: Api, funded: Project) -> None:
        answers: list[str] = []

        def spawn() -> None:
            answers.append(api("alice").post("/api/v1/machines/", SPAWN, headers=KEY).json()["id"])
            connections.close_all()

        threads = [threading.Thread(target=spawn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(answers), len(set(answers)), Machine.objects.count()) == (4, 1, 1)

    def test_one_that_takes_long_is_said_to_be_under_way(
        self, api: Api, project: Project, monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        settings.API_RATE = 0  # the transaction that is held would hold the count as well
        monkeypatch.setattr("autovibe.idempotency.PATIENCE_SECONDS", 0.1)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                api("alice").post("/api/v1/projects/", {"slug": "shop"}, headers=KEY)
                held.set()
                done.wait(10)
            connections.close_all()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        response = api("alice").post("/api/v1/projects/", {"slug": "shop"}, headers=KEY)
        done.set()
        thread.join()
        assert (response.status_code, response.json()["type"]) == (409, "urn:autovibe:in-progress")
        assert response["Retry-After"] == "1"

    def test_what_broke_before_the_answer_was_kept_was_not_done(
        self, api: Api, funded: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("autovibe.idempotency._keep", lambda *_: 1 / 0)
            assert api("alice").post("/api/v1/machines/", SPAWN, headers=KEY).status_code == 500
        assert Machine.objects.count() == 0
        assert api("alice").post("/api/v1/machines/", SPAWN, headers=KEY).status_code == 202
        assert Machine.objects.count() == 1


class TestETag:
    def test_what_one_has_is_not_sent_again(self, api: Api, project: Project) -> None:
        tag = api("alice").get("/api/v1/projects/demo/")["ETag"]
        again = api("alice").get("/api/v1/projects/demo/", headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)

    def test_lists_have_one_too(self, api: Api, project: Project) -> None:
        tag = api("alice").get("/api/v1/projects/")["ETag"]
        assert api("alice").get("/api/v1/projects/", headers={"If-None-Match": tag}).status_code == 304
        projects.create(slug="shop", by=User.objects.get(username="alice"))
        assert api("alice").get("/api/v1/projects/", headers={"If-None-Match": tag}).status_code == 200

    def test_an_update_of_what_has_not_changed_is_done(self, api: Api, genesis: Checkpoint) -> None:
        where = f"/api/v1/checkpoints/{genesis.handle}/"
        tag = api("alice").get(where)["ETag"]
        assert api("alice").patch(where, {"pinned": True}, headers={"If-Match": tag}).status_code == 200

    def test_an_update_of_what_has_changed_is_refused_with_what_there_is(
        self, api: Api, genesis: Checkpoint
    ) -> None:
        where = f"/api/v1/checkpoints/{genesis.handle}/"
        tag = api("alice").get(where)["ETag"]
        api("alice").patch(where, {"note": "Somebody else was faster"})
        refused = api("alice").patch(where, {"note": "Mine"}, headers={"If-Match": tag})
        assert (refused.status_code, refused.json()["type"]) == (412, "urn:autovibe:precondition-failed")
        assert refused.json()["current"]["note"] == "Somebody else was faster"
        assert refused["ETag"] == api("alice").get(where)["ETag"]

    def test_any_state_will_do_for_a_star(self, api: Api, genesis: Checkpoint) -> None:
        where = f"/api/v1/checkpoints/{genesis.handle}/"
        assert api("alice").patch(where, {"pinned": True}, headers={"If-Match": "*"}).status_code == 200

    def test_what_cannot_be_looked_at_cannot_be_compared(self, api: Api, project: Project) -> None:
        where = "/api/v1/projects/demo/greediness/"
        refused = api("alice").put(where, {"greediness": "0.7"}, headers={"If-Match": '"x"'})
        assert refused.status_code == 412


class TestRate:
    @pytest.fixture(autouse=True)
    def few(self, settings: Settings) -> None:
        settings.API_RATE = 2

    def test_what_is_left_is_said_with_each_answer(self, api: Api, project: Project) -> None:
        response = api("alice").get("/api/v1/projects/")
        assert response["RateLimit-Policy"] == '"default";q=2;w=60'
        assert response["RateLimit"] == '"default";r=1;t=60'

    def test_beyond_it_one_has_to_wait(self, api: Api, project: Project) -> None:
        for _ in range(2):
            assert api("alice").get("/api/v1/projects/").status_code == 200
        refused = api("alice").get("/api/v1/projects/")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:autovibe:rate-limited")
        assert 0 < int(refused["Retry-After"]) <= 60
        assert refused["RateLimit"].startswith('"default";r=0;')

    def test_another_caller_is_not_kept_waiting(self, api: Api, project: Project) -> None:
        for _ in range(3):
            api("alice").get("/api/v1/projects/")
        assert api("bob").get("/api/v1/projects/").status_code == 200

    def test_each_token_has_its_own(self, people: dict[str, User]) -> None:
        client = APIClient()
        for name in ("one", "two"):
            key = ApiToken.mint(people["alice"], name)[1]
            found = [
                client.get("/api/v1/projects/", headers={"Authorization": f"Bearer {key}"}).status_code
                for _ in range(3)
            ]
            assert found == [200, 200, 429]

    def test_tokens_cannot_be_guessed_faster(self, db: None) -> None:
        guess = {"Authorization": "Bearer av_guessed"}
        found = [APIClient().get("/api/v1/projects/", headers=guess).status_code for _ in range(3)]
        assert found == [401, 401, 429]

    def test_a_minute_later_there_is_the_full_rate_again(self, api: Api, project: Project) -> None:
        for _ in range(3):
            api("alice").get("/api/v1/projects/")
        CallCount.objects.update(began_at=timezone.now() - timedelta(seconds=61))
        assert api("alice").get("/api/v1/projects/").status_code == 200

    def test_its_table_is_not_written_to_the_log(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'autovibe_callcount'")
            assert cursor.fetchone() == ("u",)


class TestParameters:
    def test_an_unknown_one_is_refused_and_the_known_ones_named(self, api: Api, project: Project) -> None:
        response = api("alice").get("/api/v1/machines/?stat=running")
        assert (response.status_code, response.json()["type"]) == (400, "urn:autovibe:invalid")
        assert "'stat'" in response.json()["detail"]
        assert "state" in response.json()["detail"]

    def test_one_that_takes_none_says_so(self, api: Api, project: Project) -> None:
        assert "It takes none." in api("alice").get("/api/v1/projects/demo/?x=1").json()["detail"]

    def test_one_that_is_missing_is_named(self, api: Api, genesis: Checkpoint) -> None:
        response = api("alice").get(f"/api/v1/checkpoints/{genesis.handle}/diff/")
        assert (response.status_code, response.json()["detail"]) == (400, "This needs the parameter 'to'.")

    def test_pages_can_be_asked_for(self, api: Api, project: Project) -> None:
        assert api("alice").get("/api/v1/machines/?page_size=10").status_code == 200


class TestProblems:
    def test_a_body_that_is_no_json(self, api: Api, project: Project) -> None:
        response = api("alice").post("/api/v1/projects/", "{", content_type="application/json")
        assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")

    def test_a_form(self, api: Api, project: Project) -> None:
        response = api("alice").post("/api/v1/projects/", {"slug": "x"}, format="multipart")
        assert (response.status_code, response.json()["type"]) == (415, "urn:autovibe:unsupported-media-type")

    def test_something_else_than_json_is_not_to_be_had(self, api: Api, project: Project) -> None:
        response = api("alice").get("/api/v1/projects/", headers={"Accept": "text/html"})
        assert (response.status_code, response.json()["type"]) == (406, "urn:autovibe:not-acceptable")

    def test_a_conflict_says_the_state_and_what_is_possible(self, api: Api, funded: Project) -> None:
        handle = api("alice").post("/api/v1/machines/", SPAWN).json()["handle"]
        refused = api("alice").post(f"/api/v1/machines/{handle}/pause/")
        assert refused.status_code == 409
        assert (refused.json()["state"], refused.json()["possible"]) == (
            "requested",
            ["message", "terminate"],
        )


class TestAccepted:
    def test_it_says_where_the_operation_is_and_when_to_look(self, api: Api, funded: Project) -> None:
        response = api("alice").post("/api/v1/machines/", SPAWN)
        assert response["Retry-After"] == "1"
        found = api("alice").get(response["Location"]).json()
        assert (found["verb"], found["id"]) == ("spawn", response.json()["operation"]["id"])

    def test_a_refusal_says_nothing_of_the_kind(self, api: Api, project: Project) -> None:
        assert "Location" not in api("alice").post("/api/v1/machines/", json.loads("{}"))
