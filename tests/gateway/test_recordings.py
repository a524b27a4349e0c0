"""What is kept of a call's bodies: by the project's policy, encrypted, for some days, and never at the agent's cost."""

import json
from datetime import timedelta

import pytest
import requests
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from events.models import Event
from gateway import actions, record, recordings
from gateway.models import Call, Recording
from projects import actions as projects
from projects.models import User
from projects.roles import Role
from tests.gateway import provider as upstream
from tests.gateway import servers

SECRET = "sk-ant-" + "a1b2c3d4e5f6g7h8"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD" * 100}}


@pytest.fixture(autouse=True)
def _no_policy_is_remembered():
    recordings._policies.clear()


def recorded(number: int = 1) -> Recording:
    """The recording of a call, once it is there: it is written after the agent has its answer."""
    return servers.until(lambda: Recording.objects.filter(call__number=number).first())


def said(number: int = 1) -> record.Bodies:
    return record.opened(recorded(number))


@pytest.fixture
def redacted(machine, owner):
    actions.set_recording(machine.project, mode="redacted", days=7, by=owner)


class TestRecorder:
    def test_both_bodies_are_kept_as_they_were(self, provider, call):
        answer = call(stream=True)
        seen = answer.content

        bodies = said()

        assert json.loads(bodies.request)["messages"] == [{"role": "user", "content": "Say hello."}]
        assert bodies.response == seen == upstream.STREAM
        assert sum(size for size, _ in bodies.pieces) == len(seen)
        assert (recorded().status, recorded().content_type, recorded().complete) == (
            200,
            "text/event-stream",
            True,
        )

    def test_the_database_holds_nothing_that_can_be_read(self, provider, call):
        call(messages=[{"role": "user", "content": "Open sesame, said Ali Baba."}])
        recorded()

        with connection.cursor() as cursor:
            cursor.execute("SELECT request, response FROM gateway_recording")
            request, response = map(bytes, cursor.fetchone())
        assert b"sesame" not in request
        assert b"try" not in response

    def test_an_answer_that_broke_off_is_kept_as_far_as_it_came(self, provider, call):
        provider.answer = upstream.cut_off
        with pytest.raises(requests.RequestException):
            call(stream=True).content  # noqa: B018

        assert not recorded().complete
        assert said().response == b"".join([*upstream.beginning(), *upstream.middle()])

    def test_answers_of_the_offline_model_are_kept_too(self, call):
        seen = call(stream=True).content

        assert said().response == seen
        assert b"[offline model]" in seen

    def test_a_refusal_by_the_provider_is_kept(self, provider, call):
        provider.answer = upstream.refusing(400, "invalid_request_error")
        call()

        assert recorded().status == 400
        assert b"invalid_request_error" in said().response

    def test_a_body_that_is_too_large_is_left_out_and_its_size_is_kept(self, provider, call, monkeypatch):
        monkeypatch.setattr(recordings, "BODY_BYTES_MAX", 100)
        answer = call(stream=True).content

        kept = recorded()
        assert (kept.request, kept.response, kept.response_bytes) == (None, None, len(answer))

    def test_nothing_is_kept_when_it_is_off(self, provider, call, machine, owner):
        actions.set_recording(machine.project, mode="off", days=None, by=owner)
        for _ in range(2):
            assert call().ok
        actions.set_recording(machine.project, mode="full", days=None, by=owner)
        recordings._policies.clear()
        call()

        recorded(3)
        assert Recording.objects.count() == 1

    def test_a_table_that_is_not_there_does_not_harm_the_call(self, provider, call):
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gateway_recording RENAME TO elsewhere")
        try:
            assert call(stream=True).content == upstream.STREAM
            servers.until(lambda: all(one.work is None for one in recordings._writers.values()))
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE elsewhere RENAME TO gateway_recording")
        assert Call.objects.get().state == Call.State.DONE
        assert Recording.objects.count() == 0

    def test_what_the_database_cannot_take_in_time_is_given_up(self, provider, call, monkeypatch):
        monkeypatch.setattr(recordings, "WAITING_BYTES_MAX", 10)
        assert call().ok
        monkeypatch.undo()
        assert call().ok

        recorded(2)
        assert not Recording.objects.filter(call__number=1).exists()


class TestRedacted:
    def test_secrets_and_images_are_left_out_of_the_request(self, provider, call, redacted):
        text = f"My key is {SECRET}, my mail alice@home.example, password: 'hunter22'"
        call(messages=[{"role": "user", "content": [{"type": "text", "text": text}, IMAGE]}])

        content = json.loads(said().request)["messages"][0]["content"]
        assert content[0]["text"] == "My key is [redacted], my mail [redacted], password: '[redacted]'"
        assert content[1]["source"]["data"] == "[left out]"

    def test_a_secret_in_an_answer_is_found_although_it_came_in_pieces(self, provider, call, redacted):
        texts = ["The key is sk-an", "t-a1b2c3d4", "e5f6g7h8, keep it."]

        async def answer(request):
            response = await upstream.begin(request)
            for chunk in [
                *upstream.beginning(),
                *[
                    upstream.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
                    for text in texts
                ],
                *upstream.end(),
            ]:
                await response.write(chunk)
            return response

        provider.answer = answer
        assert SECRET[-8:] in call(stream=True).text

        kept = said().response.decode()
        events = [json.loads(line[5:]) for line in kept.splitlines() if line.startswith("data:")]
        spoken = [one["delta"]["text"] for one in events if one["type"] == "content_block_delta"]
        assert spoken == ["The key is [redacted]", "", ", keep it."]

    def test_a_whole_answer_is_redacted_too(self, provider, call, redacted):
        provider.answer = upstream.refusing(400, f"password={SECRET}")
        call()

        assert SECRET.encode() not in said().response


class TestRetention:
    def test_a_recording_goes_when_its_time_is_over(self, provider, call):
        call()
        kept = recorded()
        assert recordings.prune() == 0
        Recording.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert recordings.prune() == 1
        assert not Recording.objects.filter(pk=kept.pk).exists()
        assert Call.objects.count() == 1

    def test_fewer_days_hold_for_what_is_kept_already(self, provider, call, machine, owner, settings):
        settings.GATEWAY_RECORDING_DAYS = 14
        call()
        assert recorded().expires_at - recorded().recorded_at == timedelta(days=14)

        actions.set_recording(machine.project, mode="full", days=2, by=owner)
        assert recorded().expires_at - recorded().recorded_at == timedelta(days=2)
        actions.set_recording(machine.project, mode="full", days=30, by=owner)
        assert recorded().expires_at - recorded().recorded_at == timedelta(days=2)

    def test_many_are_deleted_in_batches(self, provider, call, monkeypatch):
        monkeypatch.setattr(recordings, "PRUNED_AT_ONCE", 2)
        for number in range(1, 6):
            call()
            recorded(number)
        Recording.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert recordings.prune() == 5


class TestKeys:
    def test_another_secret_key_cannot_read_it_unless_the_old_one_is_named(self, provider, call, settings):
        call()
        recorded()
        old = settings.SECRET_KEY
        settings.SECRET_KEY = "another-key-" + "y" * 40

        with pytest.raises(record.Unreadable, match=r"Call 1: .*SECRET_KEY_FALLBACKS"):
            said()
        settings.SECRET_KEY_FALLBACKS = [old]
        assert said().request

    def test_one_that_was_tampered_with_is_refused(self, provider, call):
        call()
        kept = recorded()
        Recording.objects.update(response=bytes(kept.response)[:-1] + b"\x00")

        with pytest.raises(record.Unreadable):
            said()


class TestOverRest:
    @pytest.fixture
    def api(self, machine, owner):
        def client(name: str) -> APIClient:
            user, made = User.objects.get_or_create(username=name)
            if made and name != "charlie":
                rights = {"bob": Role.VIEWER, "oscar": Role.OPERATOR}[name]
                projects.admit(machine.project, user, rights, by=owner)
            signed_in = APIClient()
            signed_in.force_authenticate(user)
            return signed_in

        return client

    def test_the_calls_of_a_machine_are_listed_with_their_figures(self, provider, call, api):
        call()
        recorded()

        (row,) = api("bob").get("/api/v1/machines/m12/calls/").data["results"]
        assert (row["number"], row["recorded"], row["output_tokens"]) == (1, "full", upstream.WRITTEN)
        assert row["cost_micros"] > 0

    @pytest.mark.parametrize(
        ("who", "status"), [("alice", 200), ("oscar", 200), ("bob", 403), ("charlie", 404)]
    )
    def test_who_may_read_what_was_said(self, provider, call, api, who, status):
        call()
        recorded()

        assert api(who).get("/api/v1/machines/m12/calls/1/").status_code == status

    def test_that_it_was_read_is_recorded(self, provider, call, api):
        call()
        recorded()

        read = api("alice").get("/api/v1/machines/m12/calls/1/").data
        assert "Say hello." in read["request"]
        assert json.loads(read["response"]) == upstream.WHOLE
        event = Event.objects.get(kind="recording.read")
        assert (event.actor, event.data) == ("alice", {"handle": "m12", "call": 1})

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_call_that_is_not_there_or_not_kept_is_said_to_be_so(
        self, provider, call, api, number, owner, machine
    ):
        actions.set_recording(machine.project, mode="off", days=None, by=owner)
        call()

        answer = api("alice").get(f"/api/v1/machines/m12/calls/{number}/")
        assert answer.status_code == 404
        assert f"call {number}" in answer.json()["detail"].lower()

    def test_an_owner_sets_what_is_kept(self, machine, api):
        address = "/api/v1/projects/demo/recording/"
        assert api("bob").get(address).data == {"mode": "full", "days": 14}
        assert api("oscar").put(address, {"mode": "off"}).status_code == 403

        assert api("alice").put(address, {"mode": "redacted", "days": 7}).data == {
            "mode": "redacted",
            "days": 7,
        }
        assert api("alice").put(address, {"mode": "full"}).data == {"mode": "full", "days": 7}
        assert api("alice").put(address, {"mode": "some"}).status_code == 400
        assert api("alice").put(address, {"mode": "full", "days": 0}).status_code == 400
