import json, time, threading
import pytest, requests
from aiohttp import web
from budgets import actions as budgets
from budgets.models import LedgerEntry, Reservation
from gateway.models import Call as Row, UpstreamKey
from gateway.upstreams import registry
from tests.gateway.provider import whole_or_stream, refusing
from tests.gateway.upstreams import upstream
from tests.gateway.servers import until
from tests.gateway.conftest import MODEL
from tests.review.test_r1 import other, post, params
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_402_of_ones_own_silences_all(first, gateway, token, other, owner):
    """As OpenRouter: 402 where max_tokens costs more than the credit."""
    upstream("router", first)
    async def answer(request):
        body = json.loads(await request.read() or b"{}")
        if body.get("max_tokens", 0) > 50_000:
            return await refusing(402, "billing")(request)
        return await whole_or_stream(request)
    first.answer = answer
    assert post(gateway, other).status_code == 200
    post(gateway, token, max_tokens=60_000)
    time.sleep(1)
    registry.forget()
    a = post(gateway, other)
    assert a.status_code == 200, (a.status_code, a.text)


def test_disabled_key_then_offline(first, gateway, token, owner):
    upstream("one", first)
    assert post(gateway, token).status_code == 200
    UpstreamKey.objects.update(enabled=False); registry.forget()
    a = post(gateway, token)
    assert "x-autovibe-offline" not in a.headers, (a.status_code, a.headers, Row.objects.order_by("-number").values("offline", "cost_micros").first())


def test_a_large_unstreamed_answer_stalls(provider, gateway, token, other):
    doc = json.dumps({"id": "m", "type": "message", "content": [{"type": "text", "text": "abc", "n": [1, 2, 3]}] * 150_000, "usage": {"input_tokens": 10, "output_tokens": 5}}).encode()
    async def answer(request):
        if b"BIG" in await request.read():
            r = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(doc))})
            await r.prepare(request)
            for i in range(0, len(doc), 65536):
                await r.write(doc[i:i + 65536])
            return r
        return await whole_or_stream(request)
    provider.answer = answer
    assert post(gateway, other).status_code == 200
    th = threading.Thread(target=lambda: post(gateway, token, messages=[{"role": "user", "content": "BIG"}]))
    th.start(); time.sleep(.3)
    t = time.time(); worst = 0
    while th.is_alive():
        t = time.time(); requests.get(f"{gateway}/api/hello", timeout=60); worst = max(worst, time.time() - t)
    print("bytes", len(doc), "worst", worst)
    assert worst < 1, worst


def test_secrets_do_not_come_out(first, gateway, token, owner, caplog, client):
    made = upstream("leaky", first, "main", base_url="http://user:hunter2@127.0.0.1:1")
    a = post(gateway, token)
    row = until(lambda: Row.objects.exclude(state__in=["admitted", "streaming"]).first())
    from events.models import Event
    said = a.text + row.error + json.dumps(list(Event.objects.values_list("data", flat=True)), default=str) + caplog.text
    print(a.text[:300])
    assert "hunter2" not in said, [w for w in (a.text, row.error, caplog.text) if "hunter2" in w]
    assert "sk-leaky" not in said
