"""Asking as somebody, and what is wrong with the answer. What was done is undone."""

from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from rest_framework.test import APIClient

from tests.permissions.cast import Principal
from tests.permissions.rows_api import Row
from tests.permissions.world import World

Answer = HttpResponse | StreamingHttpResponse


def wrong_with(answer: Answer, expected: int, principal: Principal) -> str:
    """Nothing, or a sentence."""
    if answer.status_code == expected:
        return ""
    said = "" if answer.streaming else answer.content.decode()[:200]
    return f"{principal.name}: {answer.status_code} instead of {expected}: {said}"


def over_rest(principal: Principal, row: Row, world: World) -> Answer:
    """With the principal's key."""
    client = APIClient(raise_request_exception=False)
    if principal.key:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {principal.key}")
    path, body = row.filled(world.ids)
    content = () if body is None else (client._encode_data(body, "json")[0],)
    with transaction.atomic():
        answer = client.generic(row.method, f"/api/v1/{path}", *content, content_type="application/json")
        transaction.set_rollback(True)
    return answer


def in_a_browser(principal: Principal, row: Row, world: World, **headers: str) -> Answer:
    """Signed in as the principal's user."""
    client = Client(raise_request_exception=False, headers=headers)
    path, body = row.filled(world.ids)
    with transaction.atomic():
        if principal.user:
            client.force_login(principal.user, "django.contrib.auth.backends.ModelBackend")
        ask = client.post if row.method == "POST" else client.get
        answer = ask(f"/{path}", body)
        transaction.set_rollback(True)
    return answer
