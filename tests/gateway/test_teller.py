"""Many calls in one statement: what one of them meets with is not the others' trouble."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connection, transaction

from budgets import actions as budgets
from guests.models import Guest
from machines import tokens
from machines.models import Machine
from projects import actions as projects
from projects.models import User
from tests.gateway.conftest import MODEL
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import Provider

pytestmark = pytest.mark.django_db(transaction=True)


class TestLocks:
    def test_a_machine_whose_row_somebody_holds_keeps_nobody_else_from_calling(
        self, provider: Provider, gateway: str, call: Calling, machine: Machine, owner: User
    ) -> None:
        other = projects.create(slug="other", by=owner)
        budgets.set_limit(other, "money", 10**6, by=owner)
        guest = Guest.objects.create(project=other, vmid=10_001, node="embedded")
        theirs = Machine.objects.create(
            number=13, project=other, type="shell", prompt="-", source=machine.source, guest=guest,
            wall_seconds=60, state="running",
        )  # fmt: skip
        token = tokens.mint(theirs)

        def they_call() -> int:
            body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello."}]}
            headers = {"x-api-key": token}
            return requests.post(f"{gateway}/v1/messages", json=body, headers=headers, timeout=30).status_code

        with ThreadPoolExecutor(2) as agents, transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM machines_machine WHERE id = %s FOR UPDATE", [machine.id])
            held = agents.submit(call)
            assert agents.submit(they_call).result(30) == 200
            assert not held.done()
        assert held.result(20).status_code == 200
