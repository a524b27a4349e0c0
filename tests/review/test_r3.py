import json, time, threading
import pytest, requests
from aiohttp import web
from budgets import actions as budgets, book, money, quantities
from budgets.models import LedgerEntry, Reservation
from gateway.models import Call as Row
from projects.errors import Invalid
from tests.gateway.provider import whole_or_stream, refusing, Provider
from tests.gateway.upstreams import upstream
from tests.gateway.servers import until
from tests.gateway.conftest import MODEL
from tests.review.test_r1 import other, post, params
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_free_model_beside_a_paid_key_of_the_environment(first, settings, gateway, token, owner):
    settings.OPENAI_API_KEY = "sk-x"
    settings.OPENAI_BASE_URL = first.url + "/paid"
    upstream("local", first, dialects=["chat"], free=True, model_patterns=["qwen3:*"])
    body = {"model": "qwen3:8b", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    a = requests.post(f"{gateway}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {token}"}, timeout=20)
    assert a.status_code == 200, a.text


def test_large_numbers_arrive_as_they_were_sent(provider, gateway, token):
    raw = json.dumps({"model": MODEL, "max_tokens": 100, "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "x", "input": {"n": 12345678901234567890123, "f": 0.12345678901234567890}}]}, {"role": "user", "content": "x"}]})
    requests.post(f"{gateway}/v1/messages", data=raw, headers={"x-api-key": token}, timeout=20)
    assert b"12345678901234567890123" in provider.received[0].body, provider.received[0].body


@pytest.mark.parametrize("text", ["1e999999", "1e900000", "nan", "inf", "-0", "1e-999999", "９"])
def test_amounts(text):
    t = time.time()
    for parse in (money.parse, lambda x: quantities.parse(x, "tokens"), lambda x: quantities.parse(x, "network_bytes"), lambda x: quantities.parse(x+"d", "wall_seconds")):
        try:
            print(text, parse(text))
        except Invalid:
            pass
    assert time.time() - t < 1, time.time() - t


@pytest.mark.parametrize("rates", [{"input": "-3", "output": "5"}, {"input": "nan", "output": "5"}, {"input": "1e30", "output": "5"}, {"input": "inf", "output": "5"}, {"input": "1e-30", "output": "0"}])
def test_prices(owner, rates, provider, call):
    try:
        book.enter(MODEL, rates, by=owner)
    except Invalid as e:
        print("invalid", e); return
    book.refresh(now=True)
    a = call()
    print(rates, a.status_code, a.text[:200])
    assert a.status_code != 500


def test_charset(provider, gateway, token):
    requests.post(f"{gateway}/v1/messages", data=json.dumps({"model": MODEL, "max_tokens": 100, "messages": []}), headers={"x-api-key": token, "content-type": "application/json; charset=utf-7", "content-encoding": "identity"}, timeout=20)
    assert provider.received[0].headers["content-type"] == "application/json", provider.received[0].headers


def test_query(provider, gateway, token):
    requests.post(f"{gateway}/v1/messages?beta=true&max_tokens=9999&x=%0d%0ay:z", json={"model": MODEL, "max_tokens": 100, "messages": []}, headers={"x-api-key": token}, timeout=20)
    print(provider.received[0].path)


def test_a_header_that_cannot_be_sent(provider, gateway, token, machine):
    import socket
    from urllib.parse import urlsplit
    at = urlsplit(gateway)
    body = json.dumps({"model": MODEL, "max_tokens": 100, "messages": []}).encode()
    for h in (b"x-odd: a\x01b\r\n", b"x-odd: \xff\xfe\r\n", b"x-odd: a\r\n b\r\n", b"host: evil\r\n", b"connection: x-foo\r\nx-foo: 1\r\n", b"upgrade: websocket\r\n", b"expect: 100-continue\r\n", b"content-type: a\r\ncontent-type: b\r\n"):
        with socket.create_connection((at.hostname, at.port), timeout=10) as s:
            s.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + h + b"x-api-key: " + token.encode() + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            s.settimeout(3)
            try:
                got = s.recv(200)[:30]
            except Exception as e:
                got = repr(e)
        print(h, got, Row.objects.count(), list(LedgerEntry.objects.exclude(kind="limit").values_list("kind", flat=True)))
    time.sleep(3)
    assert not Reservation.objects.filter(state="held").exists()
