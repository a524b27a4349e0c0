"""The API's rows: what each method of each route needs, and what it answers to those who may.

`{…}` is filled from the world's ids. A need is a right on the project whose object is asked for, `ADMINISTER`, `ALICE`
for what is hers, "anyone" who has signed in, or "everybody".
"""

from dataclasses import dataclass
from typing import Any

from projects.roles import ADMINISTER, Right
from tests.permissions.cast import ALICE, Principal

VIEW, AUDIT, SPAWN, OPERATE, BUDGETS, MANAGE = (
    Right.VIEW,
    Right.READ_AUDIT,
    Right.SPAWN,
    Right.OPERATE,
    Right.BUDGETS,
    Right.MANAGE,
)


@dataclass(frozen=True)
class Row:
    """`made`: who may spawn may do it with what they made. `otherwise`: answers by name of principal."""

    method: str
    path: str
    need: str
    ok: int = 200
    body: dict[str, Any] | None = None
    otherwise: dict[str, int] | None = None

    @property
    def route(self) -> tuple[str, str]:
        """Method and path, as the table of routes names it."""
        return self.method, self.path.partition("?")[0]

    def expected(self, of: Principal) -> int:
        """The status of its answer to them."""
        inside = "{" in self.path and not self.path.startswith("pools/")
        return (self.otherwise or {}).get(of.name) or of.expected(self.need, self.ok, inside=inside)

    def filled(self, ids: dict[str, str]) -> tuple[str, Any]:
        """Path and body with names in them."""
        return self.path.format_map(ids), _filled(self.body, ids)


def _filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format_map(ids)
    if isinstance(value, dict):
        return {key: _filled(inner, ids) for key, inner in value.items()}
    return value


LIMIT = {"resource": "money", "limit": 5_000_000}
WHICH = "?resource=money"
PROJECT = "projects/{slug}/"
MACHINE = "machines/{machine}/"
CHECKPOINT = "checkpoints/{checkpoint}/"
POOL = {"amount": 1_000_000}
UPSTREAM = {"name": "new", "base_url": "https://api.example.com", "dialects": ["messages"]}
SPAN = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "dry_run": True}

WITH_KEYS = ("its own machine", "another project's machine")
NO_MAKERS = ("wall", "looking only", "for another project", *WITH_KEYS)

PROJECTS = [
    Row("GET", "projects/", "anyone"),
    Row("POST", "projects/", "anyone", 201, {"slug": "another"}, dict.fromkeys(NO_MAKERS, 403)),
    Row("GET", PROJECT, VIEW),
    Row("GET", PROJECT + "calibration/", VIEW),
    Row("GET", PROJECT + "budgets/", VIEW),
    Row("PUT", PROJECT + "budgets/", BUDGETS, body=LIMIT),
    Row("DELETE", PROJECT + "budgets/" + WHICH, BUDGETS),
    Row("GET", PROJECT + "ledger/", VIEW),
    Row("GET", PROJECT + "ledger.csv", VIEW),
    Row("GET", PROJECT + "checkpoint-rules/", VIEW),
    Row("PUT", PROJECT + "checkpoint-rules/", MANAGE, body={"policy": {}}),
    Row("GET", PROJECT + "retention/", VIEW),
    Row("PUT", PROJECT + "retention/", MANAGE, body={"keep_last": 5}),
    Row("POST", PROJECT + "retention/", MANAGE, 202, {}),
    Row("GET", PROJECT + "storage/", VIEW),
    Row("GET", PROJECT + "breaker/", VIEW),
    Row("PUT", PROJECT + "breaker/", BUDGETS, body={"factor": 9}),
    Row("POST", PROJECT + "breaker/close/", BUDGETS, 409),  # it is closed
    Row("PUT", PROJECT + "greediness/", BUDGETS, body={"greediness": "0.7"}),
    Row("GET", PROJECT + "tree/", VIEW),
    Row("PUT", PROJECT + "hub/", ADMINISTER, body={"hub": "second"}),
    Row("GET", PROJECT + "recording/", VIEW),
    Row("PUT", PROJECT + "recording/", MANAGE, body={"mode": "off"}),
    Row("GET", "resources/overview/", "anyone"),
    Row("GET", "resources/invariant/", ADMINISTER),
    Row("GET", "resources/projects/{slug}/", VIEW),
    Row("GET", "resources/projects/{slug}/budget/", VIEW),
    Row("PUT", "resources/projects/{slug}/budget/", BUDGETS, body=LIMIT),
    Row("DELETE", "resources/projects/{slug}/budget/" + WHICH, BUDGETS),
]

MACHINES = [
    Row("GET", "machines/", "anyone"),
    Row("POST", "machines/", SPAWN, 202, {"project": "{slug}", "prompt": "x", "type": "vibe"}),
    Row("POST", "machines/predict/", VIEW, 200, {"project": "{slug}", "prompt": "x", "type": "vibe"}),
    Row("GET", MACHINE, VIEW),
    Row("GET", MACHINE + "storage/", VIEW),
    Row("GET", MACHINE + "resources/", VIEW),
    Row("GET", MACHINE + "log/", VIEW),
    Row("GET", MACHINE + "usage/", VIEW),
    Row("GET", MACHINE + "calls/", VIEW),
    Row("GET", MACHINE + "calls/{call}/", OPERATE, 404),  # it is not recorded
    Row("POST", MACHINE + "replay/", SPAWN, 409, {}),  # it has not ended
    Row("GET", MACHINE + "budgets/", VIEW),
    Row("PUT", MACHINE + "budgets/", BUDGETS, body=LIMIT),
    Row("DELETE", MACHINE + "budgets/" + WHICH, BUDGETS, 404),
    Row("GET", MACHINE + "checkpoint/", VIEW),
    Row("POST", MACHINE + "checkpoint/", OPERATE, 202, {}),
    Row("GET", MACHINE + "rollback/?checkpoint={checkpoint}", VIEW),
    Row("POST", MACHINE + "rollback/", OPERATE, 202, {"checkpoint": "{checkpoint}"}),
    Row("GET", MACHINE + "at/?checkpoint={checkpoint}", VIEW),
    Row("POST", MACHINE + "restore-file/", OPERATE, 202, {"checkpoint": "{checkpoint}", "path": "hello.py"}),
    Row("POST", MACHINE + "pause/", OPERATE, 202),
    Row("POST", MACHINE + "resume/", OPERATE, 409),  # it is not paused
    Row("POST", MACHINE + "terminate/", OPERATE, 202),
    Row("GET", "machine-types/", "anyone"),
]

CHECKPOINTS = [
    Row("GET", "checkpoints/", "anyone"),
    Row("GET", CHECKPOINT, VIEW),
    Row("PATCH", CHECKPOINT, OPERATE, body={"note": "seen"}),
    Row("GET", CHECKPOINT + "files/", VIEW),
    Row("GET", CHECKPOINT + "file/?path=hello.py", VIEW),
    Row("GET", CHECKPOINT + "diff/?to={first}", VIEW),
    Row("GET", CHECKPOINT + "compare/?with={first}", VIEW),
    Row("GET", CHECKPOINT + "tar/", VIEW),
    Row("GET", CHECKPOINT + "effects/", VIEW),
    Row("POST", CHECKPOINT + "branch/", SPAWN, 202, {"prompt": "x", "type": "vibe"}),
    Row("POST", CHECKPOINT + "verify/", OPERATE, 202, {"depth": "metadata"}),
    Row("GET", CHECKPOINT + "verifications/", VIEW),
    Row("POST", CHECKPOINT + "export/", OPERATE, 409),  # there is no storage for backups
]

OTHERS = [
    Row("GET", "operations/{operation}/", VIEW),
    Row("POST", "operations/{operation}/give-up/", OPERATE, 202),
    Row("GET", "transfers/", "anyone"),
    Row(
        "POST",
        "transfers/",
        BUDGETS,
        201,
        {"giver": "{slug}", "taker": "beside-{slug}", "resource": "money", "amount": 1},
        dict.fromkeys(
            ("olga", "mia", "bob", "ada", "its own machine"), 404
        ),  # they do not see the other side
    ),
    Row("POST", "transfers/{transfer}/accept/", BUDGETS),
    Row("POST", "transfers/{transfer}/decline/", BUDGETS),
    Row("POST", "transfers/{transfer}/withdraw/", BUDGETS),
    Row("GET", "budget-requests/", "anyone"),
    Row(
        "POST",
        "budget-requests/",
        SPAWN,
        201,
        {"project": "{slug}", "resource": "money", "amount": 30_000_000},
    ),
    Row("GET", "budget-requests/{request}/", VIEW),
    Row("POST", "budget-requests/{request}/grant/", BUDGETS, body={"amount": 30_000_000}),
    Row("POST", "budget-requests/{request}/deny/", BUDGETS, body={}),
    Row("POST", "budget-requests/{request}/withdraw/", BUDGETS),
]

SYSTEM = [
    Row("GET", "budgets/system/", ADMINISTER),
    Row("PUT", "budgets/system/", ADMINISTER, body=LIMIT),
    Row("DELETE", "budgets/system/" + WHICH, ADMINISTER, 404),
    Row("GET", "pools/", ADMINISTER),
    Row("GET", "pools/{pool}/", ADMINISTER),
    Row("PUT", "pools/{pool}/", ADMINISTER, body=POOL),
    Row("DELETE", "pools/{pool}/", ADMINISTER, 204),
    Row("PUT", "pools/{pool}/projects/{slug}/", ADMINISTER),
    Row("DELETE", "pools/{pool}/projects/{slug}/", ADMINISTER, 409),  # it is in none
    Row("GET", "prices/", "anyone"),
    Row("POST", "prices/", ADMINISTER, 201, {"model": "new", "input": "1", "output": "2"}),
    Row("GET", "prices/claude-sonnet-4-5/", "anyone"),
    Row("DELETE", "prices/claude-sonnet-4-5/", ADMINISTER, 409),  # it has the list's
    Row("GET", "ledger/reratings/", ADMINISTER),
    Row("POST", "ledger/reratings/", ADMINISTER, 200, SPAN),
    Row("GET", "upstreams/", ADMINISTER),
    Row("POST", "upstreams/", ADMINISTER, 201, UPSTREAM),
    Row("GET", "upstreams/none/", ADMINISTER, 404),
    Row("PATCH", "upstreams/none/", ADMINISTER, 404, {}),
    Row("DELETE", "upstreams/none/", ADMINISTER, 404),
    Row("POST", "upstreams/none/test/", ADMINISTER, 404),
    Row("PUT", "upstreams/none/keys/first/", ADMINISTER, 404, {"secret": "x"}),
    Row("DELETE", "upstreams/none/keys/first/", ADMINISTER, 404),
    Row("GET", "proxmox/", ADMINISTER, 404),  # nobody has had it checked
    Row("POST", "proxmox/check/", ADMINISTER, 202),
]

NO_PEOPLE = ("wall", "for another project", *WITH_KEYS)

PEOPLE = [
    Row("GET", "me/", "anyone"),
    Row("GET", PROJECT + "members/", VIEW),
    Row("GET", PROJECT + "members/bob/", VIEW),
    Row("PUT", PROJECT + "members/bob/", MANAGE, body={"role": "member"}),
    Row("DELETE", PROJECT + "members/bob/", MANAGE, 204),
    Row("PUT", PROJECT + "machine-role/", MANAGE, body={"role": "viewer"}),
    Row("GET", PROJECT + "invitations/", MANAGE),
    Row("POST", PROJECT + "invitations/", MANAGE, 201, {"role": "viewer"}),
    Row("DELETE", PROJECT + "invitations/{invitation}/", MANAGE, 204),
    Row("GET", "tokens/", "anyone"),
    Row(
        "POST",
        "tokens/",
        "anyone",
        201,
        {"name": "new", "scopes": ["view_project"]},
        dict.fromkeys(NO_PEOPLE, 403),
    ),
    Row("GET", "tokens/{token}/", ALICE),
    Row("DELETE", "tokens/{token}/", ALICE, 204),
    Row("POST", "tokens/{token}/rotate/", ALICE, 201, {}, {"root": 403}),
    Row("POST", "auth/jwt/", "anyone", 200, {}, dict.fromkeys(WITH_KEYS, 401)),
    Row("POST", "auth/jwt/refresh/", "everybody", 400, {}),
    Row("POST", "auth/jwt/revoke/", "everybody", 400, {}),
]

EVENTS = [
    Row("GET", "events/", "anyone"),
    Row("GET", "events/stream/", "anyone"),
    Row("GET", "events/export/?project={slug}", AUDIT),
    Row("GET", "health/", "everybody", otherwise={"expired": 401}),
]

LATER = [
    Row("GET", MACHINE + "message/", VIEW),
    Row("POST", MACHINE + "message/", OPERATE, 202, {"text": "Go on."}),
    Row("GET", MACHINE + "receipt/", VIEW, 409),  # it has not ended
    Row("GET", "machines/counts/", "anyone"),
    Row("GET", CHECKPOINT + "manifest/", VIEW),
    Row("GET", "operations/", "anyone"),
    Row("POST", "operations/{operation}/cancel/", OPERATE, 202),
]

ROWS = [*PEOPLE, *EVENTS, *LATER, *PROJECTS, *MACHINES, *CHECKPOINTS, *OTHERS, *SYSTEM]
