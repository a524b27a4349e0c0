"""How many pages are made at a time, and who waits for whom."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from autovibe import concurrency


class Pages:
    """Pages that are being made until they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.most = 0
        self._now = 0
        self._go = asyncio.Event()
        self.ask: Any = concurrency.at_once(self._make)

    def let_go(self) -> None:
        self._go.set()

    async def _make(self, request: HttpRequest) -> HttpResponse:
        self.begun += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await self._go.wait()
        await asyncio.sleep(0)
        self._now -= 1
        if request.path == "/broken/":
            raise RuntimeError
        return HttpResponse()


def asked(path: str = "/", **headers: str) -> HttpRequest:
    return RequestFactory().get(path, headers=headers)


def looking() -> HttpRequest:
    return asked(Priority=concurrency.BACKGROUND)


async def begin(pages: Pages, requests: list[HttpRequest]) -> list["asyncio.Task[HttpResponse]"]:
    tasks = [asyncio.create_task(pages.ask(request)) for request in requests]
    await asyncio.sleep(0.01)
    return tasks


@pytest.fixture(autouse=True)
def eight(settings: Any) -> None:
    settings.PAGES_AT_ONCE = 8


async def test_there_are_never_more_than_so_many_and_all_are_answered() -> None:
    pages = Pages()
    tasks = await begin(pages, [asked() for _ in range(30)])
    assert pages.begun == 8

    pages.let_go()
    answers = await asyncio.gather(*tasks)

    assert [answer.status_code for answer in answers] == [200] * 30
    assert pages.most == 8


async def test_a_person_does_not_wait_for_pages_that_look_again_by_themselves() -> None:
    pages = Pages()
    looks = await begin(pages, [looking() for _ in range(200)])
    assert pages.begun == 2

    person = await begin(pages, [asked()])
    assert pages.begun == 3

    pages.let_go()
    await asyncio.gather(*looks, *person)


async def test_a_form_whose_thread_goes_on_after_it_was_given_up_has_its_place_until_then(
    settings: Any,
) -> None:
    settings.PAGES_AT_ONCE = 4
    begun, go = threading.Semaphore(0), threading.Event()

    def make(request: HttpRequest) -> HttpResponse:
        begun.release()
        go.wait(10)
        return HttpResponse()

    ask: Any = concurrency.at_once(sync_to_async(make, thread_sensitive=False))
    left = [asyncio.create_task(ask(RequestFactory().post("/"))) for _ in range(4)]
    await asyncio.sleep(0.05)
    for task in left:
        task.cancel()
    late = asyncio.create_task(ask(asked()))
    await asyncio.sleep(0.05)
    assert sum(begun.acquire(blocking=False) for _ in range(5)) == 4

    go.set()
    assert (await late).status_code == 200


async def test_one_that_fails_or_is_given_up_leaves_its_place() -> None:
    pages = Pages()
    broken = await begin(pages, [asked("/broken/") for _ in range(7)])
    (given_up,) = await begin(pages, [asked()])
    given_up.cancel()
    pages.let_go()
    await asyncio.gather(*broken, given_up, return_exceptions=True)

    answers = await asyncio.gather(*await begin(pages, [asked() for _ in range(9)]))

    assert len(answers) == 9
