"""What goes wrong in the API is a problem too, with an id that the log knows."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import connection
from django.urls import path
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

Get = Callable[..., Response]


class Broken(APIView):
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response({}["what is not there"])


class HungUpOn(APIView):
    """The database hangs up, as it does when it is stopped."""

    permission_classes = ()

    def get(self, request: Request) -> Response:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return Response()


class Suspicious(APIView):
    permission_classes = ()

    def get(self, request: Request) -> Response:
        raise SuspiciousOperation("The form has more than 1,000 fields.")


urlpatterns = [
    path("api/v1/broken/", Broken.as_view()),
    path("api/v1/hung-up-on/", HungUpOn.as_view()),
    path("api/v1/suspicious/", Suspicious.as_view()),
]


@pytest.fixture
def get(transactional_db: None, settings: Settings) -> Iterator[Get]:
    settings.DEBUG = False
    settings.ROOT_URLCONF = __name__
    yield APIClient().get
    connection.close()


class TestHandle:
    @pytest.mark.parametrize("accept", ["application/json", "text/html,*/*;q=0.8"])
    def test_what_nobody_expected_is_a_problem_whose_id_is_in_the_log(
        self, get: Get, caplog: pytest.LogCaptureFixture, accept: str
    ) -> None:
        response = get("/api/v1/broken/", HTTP_ACCEPT=accept)
        assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
        problem = response.json()
        assert (problem["type"], problem["status"]) == ("urn:autovibe:internal", 500)
        assert problem["request_id"] == response["X-Request-Id"]
        assert problem["request_id"] in problem["detail"]
        (logged,) = [record for record in caplog.records if record.name == "autovibe.problems"]
        assert (logged.levelno, problem["request_id"] in logged.getMessage()) == (logging.ERROR, True)
        assert logged.exc_info
        assert logged.exc_info[0] is KeyError

    @pytest.mark.parametrize("accept", ["application/json", "text/html,*/*;q=0.8"])
    def test_a_database_that_is_away_is_worth_another_try(self, get: Get, accept: str) -> None:
        response = get("/api/v1/hung-up-on/", HTTP_ACCEPT=accept)
        assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
        assert response["Retry-After"] == "2"
        assert response.json()["detail"] == "The database is away; try again in a moment."
        assert response.json()["type"] == "urn:autovibe:unavailable"

    def test_what_django_calls_suspicious_is_the_clients_fault(self, get: Get) -> None:
        response = get("/api/v1/suspicious/")
        assert (response.status_code, response.json()["type"]) == (400, "urn:autovibe:invalid")


class TestSentence:
    @pytest.mark.parametrize(("sent", "said"), [("“gold”", "“gold”"), ("\ud800", "?")])
    def test_it_quotes_what_was_sent_so_that_it_can_be_read(
        self, api: Callable[[str], APIClient], project: object, sent: str, said: str
    ) -> None:
        body = json.dumps({"resource": sent, "limit": 1})
        response = api("alice").put("/api/v1/projects/demo/budgets/", body, content_type="application/json")
        assert response.status_code == 400
        assert f'resource: \\"{said}\\" is not a valid choice.' in response.content.decode()


class TestReading:
    @pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 50_000])
    def test_json_that_is_nested_too_deeply_is_the_clients_mistake(self, db: None, deep: str) -> None:
        response = APIClient().post("/api/v1/auth/jwt/refresh/", deep, content_type="application/json")
        assert (response.status_code, response.json()["detail"]) == (400, "The JSON is nested too deeply.")


class TestBounds:
    def test_a_models_name_is_not_longer_than_its_column(
        self, api: Callable[[str], APIClient], project: object
    ) -> None:
        asked = {"project": "demo", "type": "vibe", "prompt": "x", "model": "m" * 81}
        response = api("alice").post("/api/v1/machines/", asked)
        assert response.status_code == 400
        assert "80" in response.json()["detail"]
