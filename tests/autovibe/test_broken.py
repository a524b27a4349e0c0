"""What nobody caught is a page of ours: 503 while the database is away, 500 otherwise."""

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from pytest_django import Settings

from autovibe import urls


def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse({}["what is not there"])


def hung_up_on(request: HttpRequest) -> HttpResponse:
    """The database hangs up, as it does when it is stopped."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    return HttpResponse()


handler500 = urls.handler500
urlpatterns = [path("broken/", broken), path("hung-up-on/", hung_up_on)]


@pytest.fixture
def browser(transactional_db: None, settings: Settings) -> Client:
    settings.DEBUG = False
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


def test_a_fault_of_ours_says_that_it_is(browser: Client) -> None:
    answer = browser.get("/broken/")

    assert answer.status_code == 500
    assert "autovibe broke here" in answer.content.decode()


def test_a_database_that_is_away_is_worth_another_try(browser: Client) -> None:
    answer = browser.get("/hung-up-on/")
    connection.close()

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "The database is away" in answer.content.decode()
    assert "text/html" in answer["Content-Type"]
