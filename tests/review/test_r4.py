import json, time, threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
import psycopg, pytest, requests
from django.db import connection, connections
from django.utils import timezone
from budgets import actions as budgets, requests as asking, transfers, limits
from budgets.limits import Holder, change_limit, remove_limit
from budgets.models import *
from budgets.models import LedgerEntry, Reservation, Window, Budget, BudgetRequest
from budgets.prices import price_of, Usage
from budgets.reserve import reserve_call, Grant, Shortage
from budgets.resources import Payer
from budgets import ledger
from projects import actions as projects
from tests.gateway.conftest import MODEL
from tests.review.test_r1 import other, post, params
pytestmark = pytest.mark.django_db(transaction=True)
P = price_of(MODEL)


def take(project, key, out=1000, inp=1000, seconds=60):
    return reserve_call(key, payer=Payer(project.id), price=P, input_tokens=inp, output_tokens=out, seconds=seconds)


def test_a_guest_raises_what_a_person_asked_for(gateway, token, machine, owner):
    made = asking.ask(machine.project, "money", 5, by=owner, machine_id=machine.id, reason="please")
    requests.post(f"{gateway}/guest/v1/budget-requests", json={"resource": "money", "amount": 5_000_000_000}, headers={"x-api-key": token})
    made.refresh_from_db()
    assert made.amount == 5 and made.reason == "please", (made.amount, made.reason, made.asked_by)


def test_carry_over_of_what_was_held_at_midnight(machine, owner):
    project = machine.project
    change_limit(Holder.of_project(project), "calls", 10, by=owner, period="hour", carry_over=True, landing_percent=0)
    g = take(project, "a")
    assert isinstance(g, Grant)
    later = timezone.now() + timedelta(hours=1)
    with connection.cursor() as c:
        c.execute("SELECT budgets_lock(%s::text[], %s)", [[f"project:{project.id}"], later])
    ledger.release(g.reservation_id)
    w = Window.objects.get(holder=f"project:{project.id}", resource="calls", closed_at=None)
    assert w.limit == 20, w.limit


def test_transfers_race_with_holds(machine, owner):
    a = machine.project
    b = projects.create(slug="b", by=owner)
    budgets.set_limit(b, "money", 10**6, by=owner)
    errors = []
    def hold(n):
        try:
            for i in range(15):
                g = take(a if n % 2 else b, f"{n}-{i}", out=2000)
                if isinstance(g, Grant):
                    (ledger.release if i % 3 else (lambda r: ledger.settle(r, Usage(input_tokens=10, output_tokens=5), P)))(g.reservation_id)
        except Exception as e:
            errors.append(repr(e)[:200])
        finally:
            connections.close_all()
    def move(n):
        try:
            for i in range(10):
                try:
                    transfers.propose(*( (a, b) if n % 2 else (b, a)), "money", 100_000, by=owner)
                except Exception as e:
                    if "Conflict" not in type(e).__name__: raise
        except Exception as e:
            errors.append(repr(e)[:200])
        finally:
            connections.close_all()
    def lim(n):
        try:
            for i in range(8):
                try:
                    change_limit(Holder.of_project(a), "money", 3 * 10**6 + i, by=owner)
                    if i % 4 == 3:
                        x = Budget.objects.standing().get(holder=f"project:{a.id}", resource="money")
                        remove_limit(x, by=owner)
                        change_limit(Holder.of_project(a), "money", 4 * 10**6, by=owner)
                except Exception as e:
                    if type(e).__name__ not in ("Conflict", "DoesNotExist"): raise
        except Exception as e:
            errors.append(repr(e)[:200])
        finally:
            connections.close_all()
    with ThreadPoolExecutor(9) as pool:
        fs = [pool.submit(hold, n) for n in range(4)] + [pool.submit(move, n) for n in range(3)] + [pool.submit(lim, n) for n in range(2)]
        [f.result() for f in fs]
    print(errors)
    assert not budgets.verify()
    assert not errors


def test_two_open_the_same_limit_at_once(machine, owner):
    errors = []
    barrier = threading.Barrier(4)
    def go(n):
        try:
            barrier.wait()
            change_limit(Holder.of_project(machine.project), "tokens", 100 + n, by=owner)
        except Exception as e:
            errors.append(repr(e)[:200])
        finally:
            connections.close_all()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(go, range(4)))
    assert not errors, errors


def test_limit_max_and_transfers(machine, owner):
    b = projects.create(slug="b", by=owner)
    change_limit(Holder.of_project(b), "tokens", 2**62, by=owner)
    change_limit(Holder.of_project(machine.project), "tokens", 2**62, by=owner)
    for _ in range(2):
        try:
            transfers.propose(b, machine.project, "tokens", 2**61, by=owner)
        except Exception as e:
            assert type(e).__name__ in ("Conflict", "Invalid"), repr(e)
            return
    with connection.cursor() as c:
        pass
    g = take(machine.project, "x")
    print(g)


def test_an_hour_of_hourly_carry_over_after_a_long_sleep(machine, owner):
    change_limit(Holder.of_project(machine.project), "calls", 2**61, by=owner, period="hour", carry_over=True)
    with connection.cursor() as c:
        t = time.time()
        c.execute("SELECT budgets_lock(%s::text[], %s)", [[f"project:{machine.project_id}"], timezone.now() + timedelta(days=365 * 5)])
        print("five years of hours %.2f s" % (time.time() - t))
    assert isinstance(take(machine.project, "y"), Grant)
    assert not budgets.verify()


def test_settling_out_of_order_and_twice(machine, owner):
    g = take(machine.project, "z")
    def go(n):
        try:
            return ledger.settle(g.reservation_id, Usage(input_tokens=100, output_tokens=50), P) if n % 2 else ledger.settle_in_full(g.reservation_id, to=Reservation.State.EXPIRED)
        finally:
            connections.close_all()
    with ThreadPoolExecutor(8) as pool:
        print(list(pool.map(go, range(8))))
    assert not budgets.verify()
    r = Reservation.objects.get(pk=g.reservation_id)
    print(r.state, r.cost_micros, list(LedgerEntry.objects.exclude(kind="limit").values_list("kind", "micros")))
    assert r.cost_micros == 100 * 3 + 50 * 15
