"""`manage.py proxmox check`, and the check as a task: asked for, carried out by a worker, the last ones kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from guests import checks, diagnoses, tasks
from guests.models import Diagnosis, next_vmid
from tests.node_process import ROOT, NodeProcess
from tests.proxmox.scripted import Answer, free_port, scripted

SECONDS = 30


@pytest.fixture
def gateway(settings: Any) -> Iterator[None]:
    with scripted(lambda asked: Answer()) as server:
        settings.GATEWAY_URL = server.url
        yield


def run(*arguments: str) -> tuple[int, str]:
    """The command's exit code and what it printed."""
    out = StringIO()
    try:
        call_command("proxmox", "check", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


class TestTheCommand:
    def test_it_says_what_it_found_and_that_machines_can_run(self, connected, gateway, db):
        code, text = run()

        assert code == 0
        assert "ok      Template 9000" in text
        assert "Ready" in text.splitlines()[-1]

    def test_it_exits_1_when_something_essential_is_missing_and_shows_the_command(
        self, connected, gateway, db, settings
    ):
        settings.PROXMOX_TEMPLATE = 9999
        code, text = run()

        assert code == 1
        assert "MISSING Template 9999" in text
        assert "\n            manage.py template build claude-code\n" in text
        assert text.splitlines()[-1] == "Not ready: 1 thing missing."

    def test_as_json_it_can_be_read_by_programs(self, connected, gateway, db):
        code, text = run("--json")

        answer = json.loads(text)
        assert code == 0
        assert {"section", "name", "status", "sentence", "commands"} == set(answer["findings"][0])

    def test_a_node_that_is_down_is_no_traceback(self, db, settings):
        settings.PROXMOX_URL = f"http://127.0.0.1:{free_port()}"
        code, text = run()

        assert code == 1
        assert "MISSING Endpoint" in text

    def test_the_probe_takes_a_number_of_our_own_sequence(self, connected, gateway, db, settings):
        before = next_vmid()
        code, text = run("--probe")

        assert code == 0, text
        assert f"VM {settings.PROXMOX_VMID_FIRST + before} is removed." in text
        assert "Snapshot" in text

    def test_ctrl_c_during_the_probe_removes_the_vm(
        self, connected, gateway, settings, django_db_blocker, db
    ):
        requests.post(
            f"{connected.url}/fault",
            headers=connected.headers,
            json={"action": "slow-task", "match": "POST */snapshot", "seconds": 20},
            timeout=5,
        )
        program = subprocess.Popen(
            [sys.executable, "manage.py", "proxmox", "check", "--probe"],
            cwd=ROOT,
            env=environment(connected, settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout
        printed = "".join(iter_until(program.stdout, "Gateway from inside"))
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=SECONDS)

        assert program.returncode == 130, err
        assert "is removed." in printed + out
        assert vmids(connected) == {9000}


def iter_until(lines: Any, word: str) -> Iterator[str]:
    for line in lines:
        yield line
        if word in line:
            return


def environment(node: NodeProcess, settings: Any) -> dict[str, str]:
    """What the test's own settings are, for another process."""
    database = connection.settings_dict
    place = f"{quote(database['HOST'] or '', safe='')}:{database['PORT']}"
    user = f"{quote(database['USER'] or '')}:{quote(database['PASSWORD'] or '')}"
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{user}@{place}/{database['NAME']}",
        "PROXMOX_URL": node.url,
        "PROXMOX_TOKEN": node.token,
        "AUTOVIBE_GATEWAY_URL": settings.GATEWAY_URL,
        "PYTHONUNBUFFERED": "1",
    }


def vmids(node: NodeProcess) -> set[int]:
    answer = requests.get(f"{node.url}/api2/json/nodes/{node.name}/qemu", headers=node.headers, timeout=5)
    return {int(row["vmid"]) for row in answer.json()["data"]}


class TestTheTask:
    def test_a_worker_writes_down_what_it_found(self, connected, gateway, db):
        asked = diagnoses.ask("alice")
        assert diagnoses.latest(finished=True) is None

        tasks.diagnose(asked.pk)

        last = diagnoses.latest(finished=True)
        assert last
        assert (last.asked_by, last.status) == ("alice", "warning")
        assert "Template 9000" in {finding["name"] for finding in last.findings}

    def test_asked_for_twice_it_is_one_check(self, db):
        assert diagnoses.ask("alice") == diagnoses.ask("bob")

    def test_one_whose_worker_was_lost_does_not_keep_others_from_asking(self, db):
        lost = diagnoses.ask("alice")
        Diagnosis.objects.update(asked_at=timezone.now() - diagnoses.LOST_AFTER - timedelta(seconds=1))

        assert diagnoses.ask("bob") != lost

    def test_it_is_queued_when_the_request_is_committed(self, db, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks() as callbacks:
            diagnoses.ask("alice")

        assert len(callbacks) == 1

    def test_the_last_twenty_are_kept(self, connected, db, settings):
        settings.PROXMOX_URL = f"http://127.0.0.1:{free_port()}"
        Diagnosis.objects.bulk_create(Diagnosis(finished_at=timezone.now()) for _ in range(25))
        asked = diagnoses.ask("alice")

        checks.carry_out(asked.pk)

        assert Diagnosis.objects.count() == diagnoses.KEPT
        assert diagnoses.latest() == asked

    def test_settings_that_cannot_be_meant_are_a_finding(self, db, settings):
        settings.PROXMOX_FINGERPRINT = "nonsense"
        asked = diagnoses.ask("alice")

        checks.carry_out(asked.pk)

        asked.refresh_from_db()
        assert asked.status == "missing"
        assert "PROXMOX_FINGERPRINT" in asked.findings[0]["sentence"]


class TestTheApi:
    @pytest.fixture(autouse=True)
    def _staff(self, people: dict) -> None:
        people["alice"].is_staff = True
        people["alice"].save()

    def test_it_is_for_staff(self, api):
        assert api("bob").get("/api/v1/proxmox/").status_code == 403
        assert api("bob").post("/api/v1/proxmox/check/").status_code == 403
        assert not Diagnosis.objects.exists()

    def test_before_the_first_check_it_says_how_to_have_one(self, api):
        answer = api("alice").get("/api/v1/proxmox/")

        assert answer.status_code == 404
        assert "POST /api/v1/proxmox/check/" in answer.json()["detail"]

    def test_a_check_is_asked_for_and_read(self, api, connected):
        asked = api("alice").post("/api/v1/proxmox/check/")
        assert asked.status_code == 202
        assert asked.json()["finished_at"] is None

        tasks.diagnose(asked.json()["id"])

        answer = api("alice").get("/api/v1/proxmox/").json()
        assert answer["id"] == asked.json()["id"]
        assert answer["status"] == "warning"
        assert answer["findings"][0]["section"] == "Connection"
