import os, signal, socket, subprocess, sys, time, random, json, threading
from concurrent.futures import ThreadPoolExecutor
import pytest, requests
from django.db import connection
from django.db.models import Sum
from budgets import actions as budgets
from budgets.models import LedgerEntry, Reservation, Window
from gateway import calls
from gateway.models import Call as Row
from tests.gateway import servers
from tests.gateway.conftest import MODEL
from tests.gateway.test_overshoot import Greedy
pytestmark = pytest.mark.django_db(transaction=True)


def start(provider, port):
    s = connection.settings_dict
    env = {**os.environ, "DATABASE_URL": f"postgres://{s['USER']}:{s['PASSWORD']}@{s['HOST']}:{s['PORT']}/{s['NAME']}", "ANTHROPIC_API_KEY": "k", "ANTHROPIC_UPSTREAM_URL": provider.url,
        "ANTHROPIC_BASE_URL": provider.url, "GATEWAY_RESERVATION_SECONDS": "4", "SECRET_KEY": "x" * 60, "DEBUG": "1", "AUTOVIBE_DEBUG": "1"}
    p = subprocess.Popen([sys.executable, "-m", "uvicorn", "autovibe.asgi:application", "--port", str(port), "--log-level", "warning"], env=env, cwd="/work/main", stderr=subprocess.STDOUT, stdout=open(f"/tmp/r1/uv{port}.log", "w"))
    for _ in range(200):
        try:
            requests.get(f"http://127.0.0.1:{port}/api/hello", timeout=1); return p
        except Exception:
            time.sleep(.1)
    raise AssertionError("no start")


def test_kill_9(provider, token, machine, owner):
    greedy = Greedy(); provider.answer = greedy.answer
    budgets.set_limit(machine.project, "money", 10**9, by=owner)
    random.seed(5)
    for round in range(4):
        sock = servers.free_socket(); port = sock.getsockname()[1]; sock.close()
        p = start(provider, port)
        go = True
        def agent(n):
            while go:
                try:
                    requests.post(f"http://127.0.0.1:{port}/v1/messages", json={"model": MODEL, "max_tokens": 1024, "stream": n % 2 == 0, "messages": [{"role": "user", "content": "x" * n}]}, headers={"x-api-key": token}, timeout=5)
                except Exception:
                    return
        with ThreadPoolExecutor(20) as pool:
            fs = [pool.submit(agent, n) for n in range(20)]
            time.sleep(.6 + random.random())
            p.send_signal(signal.SIGKILL); p.wait(); go = False
    print("billed", greedy.billed_micros, "calls", greedy.calls, "held", Reservation.objects.filter(state="held").count(), Row.objects.count())
    assert greedy.calls > 20
    time.sleep(5)
    from django.conf import settings
    settings.GATEWAY_RESERVATION_SECONDS = 4
    print("reaped", calls.reap())
    assert not Reservation.objects.filter(state="held").exists()
    assert not Row.objects.filter(state__in=calls.OPEN).exists()
    assert not budgets.verify()
    entered = LedgerEntry.objects.aggregate(s=Sum("micros"))["s"]
    rows = Row.objects.aggregate(s=Sum("cost_micros"))["s"]
    print("entered", entered, "rows", rows)
    assert entered >= greedy.billed_micros
    assert entered == rows
