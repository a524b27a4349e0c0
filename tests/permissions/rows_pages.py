"""The dashboard's rows: what each page needs, and what it answers to those who may; see `rows_api`."""

from projects.roles import ADMINISTER
from tests.permissions.cast import ALICE
from tests.permissions.rows_api import AUDIT, BUDGETS, MANAGE, OPERATE, SPAWN, VIEW, Row

MACHINE = "machines/{machine}/"
CHECKPOINT = "checkpoints/{checkpoint}/"
PROJECT = "p/{slug}/"

IN_ONE = ("olga", "mia", "bob", "ada")
NO_AUDIT = ("olga", "mia", "bob", "wall")

# The name of the route, and its row.
PAGES: dict[str, Row] = {
    "fleet": Row("GET", "", "anyone"),
    "needs": Row("GET", "needs-you/", "anyone"),
    "many": Row("GET", "machines/many/?verb=pause&machine={machine}", "anyone"),
    "acknowledge": Row("POST", MACHINE + "acknowledge/", OPERATE, 302),
    "spawn": Row("GET", "machines/new/", "anyone"),
    "beginnings": Row("GET", "machines/new/beginnings/?project={slug}", SPAWN),
    "prediction": Row("POST", "machines/new/prediction/", SPAWN, body={"project": "{slug}"}),
    "machine": Row("GET", MACHINE, VIEW),
    "charts": Row("GET", MACHINE + "charts.json", VIEW),
    "moment": Row("GET", MACHINE + "moment/?at=1", VIEW),
    "log_lines": Row("GET", MACHINE + "log.json", VIEW),
    "log_file": Row("GET", MACHINE + "log.txt", VIEW),
    "console": Row("GET", MACHINE + "console/", OPERATE),
    "message": Row("POST", MACHINE + "message/", OPERATE, 302, {"text": "Go on."}),
    "receipt": Row("GET", MACHINE + "receipt.json", VIEW),
    "rollback": Row("GET", MACHINE + "rollback/?to={checkpoint}", OPERATE),
    "verb": Row("GET", MACHINE + "terminate/", OPERATE),
    "operations": Row("GET", "operations/", "anyone"),
    "operation": Row("GET", "operations/{operation}/", VIEW),
    "operation_cancel": Row("GET", "operations/{operation}/cancel/", OPERATE),
    "give_up": Row("POST", "operations/{operation}/give-up/", OPERATE, 302),
    "trees": Row(
        "GET", "checkpoints/", "anyone", otherwise=dict.fromkeys(IN_ONE, 302)
    ),  # to the only project's
    "project": Row("GET", PROJECT, VIEW),
    "tree": Row("GET", PROJECT + "checkpoints/", VIEW),
    "tree_compare": Row("GET", PROJECT + "checkpoints/compare/?here={checkpoint}&there={first}", VIEW, 302),
    "rules": Row("GET", PROJECT + "checkpoints/rules/", VIEW),
    "rules_policy": Row("POST", PROJECT + "checkpoints/rules/policy/", MANAGE, 302),
    "rules_retention": Row("POST", PROJECT + "checkpoints/rules/retention/", MANAGE, 302),
    "prune": Row("GET", PROJECT + "checkpoints/rules/prune/", MANAGE),
    "checkpoint": Row("GET", CHECKPOINT, VIEW),
    "branch": Row("GET", CHECKPOINT + "branch/", SPAWN),
    "compare": Row("GET", CHECKPOINT + "compare/?with={first}", VIEW),
    "mark": Row("POST", CHECKPOINT + "mark/", OPERATE, 302),
    "verify": Row("GET", CHECKPOINT + "verify/", OPERATE),
    "export": Row("POST", CHECKPOINT + "export/", OPERATE, 302),
    "restore_file": Row("GET", CHECKPOINT + "restore-file/?path=hello.py", OPERATE),
    "budgets": Row("GET", "budgets/", "anyone"),
    "limit_new": Row("GET", "budgets/limits/new/?project={slug}", BUDGETS),
    "limit": Row("GET", "budgets/limits/{budget}/", BUDGETS),
    "limit_preview": Row("GET", "budgets/limits/{budget}/preview/?amount=1", BUDGETS),
    "limit_raise": Row("POST", "budgets/limits/{budget}/raise/", BUDGETS, 302),
    "limit_lift": Row("GET", "budgets/limits/{budget}/lift/", BUDGETS),
    "budget": Row("GET", PROJECT + "budget/", VIEW),
    "budget_what_if": Row("GET", PROJECT + "budget/what-if/", VIEW),
    "budget_history": Row("GET", PROJECT + "budget/history/", VIEW),
    "ask": Row("GET", PROJECT + "budget/ask/", SPAWN),
    "transfer": Row("GET", PROJECT + "budget/transfer/", BUDGETS),
    "request": Row("POST", "budgets/requests/{request}/", BUDGETS, 400),  # it does not say which button
    "transfer_decide": Row("POST", "budgets/transfers/{transfer}/", VIEW, 400),
    "breaker_close": Row("POST", PROJECT + "breaker/close/", BUDGETS, 302),
    "ledger": Row("GET", PROJECT + "ledger/", VIEW),
    "ledger_csv": Row("GET", PROJECT + "ledger.csv", VIEW),
    "people": Row("GET", "people/", "anyone"),
    "members": Row("GET", PROJECT + "members/", VIEW),
    "member_set": Row("POST", PROJECT + "members/set/", MANAGE, 302, {"name": "bob", "role": "member"}),
    "member_remove": Row("GET", PROJECT + "members/remove/?name=bob", MANAGE, otherwise={"bob": 200}),
    "member_machines": Row("POST", PROJECT + "members/machines/", MANAGE, 302, {"role": "viewer"}),
    "member_invite": Row("POST", PROJECT + "members/invite/", MANAGE, 200, {"role": "viewer"}),
    "member_uninvite": Row("POST", PROJECT + "members/invitations/{invitation}/revoke/", MANAGE, 302),
    "invitation_shown": Row("GET", "invitation/", "everybody", 404),
    "invitation": Row("GET", "invitation/none/", "everybody", 404),
    "tokens": Row("GET", "settings/tokens/", "anyone"),
    "token_rotate": Row("POST", "settings/tokens/{token}/rotate/", ALICE, 200, otherwise={"root": 403}),
    "token_revoke": Row("POST", "settings/tokens/{token}/revoke/", ALICE, 302),
    "prices": Row("GET", "prices/", "anyone"),
    "logs": Row("GET", "logs/?q=hello", "anyone"),
    "logs_export": Row("GET", "logs/export/?q=hello", "anyone"),
    "audit": Row("GET", "audit/", "anyone"),
    "audit_export": Row("GET", "audit/export/", "anyone", otherwise=dict.fromkeys(NO_AUDIT, 403)),
    "project_audit": Row("GET", PROJECT + "audit/", VIEW),
    "project_audit_export": Row("GET", PROJECT + "audit/export/", AUDIT),
    "appearance": Row("GET", "settings/appearance/", "anyone"),
    "palette": Row("GET", "palette/?q=m", "anyone"),
    "counts": Row("GET", "counts/", "anyone"),
    "styleguide": Row("GET", "styleguide/", ADMINISTER),
    "api_tag": Row("GET", "api/reference/machines/", "anyone"),
    "api": Row("GET", "api/", "anyone"),
    "account": Row("GET", "account/", "anyone"),
    "sessions_end": Row("POST", "account/sessions/end/", "anyone", 302),
    "settings": Row("GET", "settings/", ADMINISTER),
    "screens": Row("GET", "settings/screens/", "anyone"),
    "screen": Row("GET", "settings/screens/{screen}/", ALICE),
    "screen_rotate": Row("POST", "settings/screens/{screen}/rotate/", ALICE, 200),
    "screen_revoke": Row("POST", "settings/screens/{screen}/revoke/", ALICE, 302),
    "screen_preview": Row("GET", "settings/screens/{screen}/preview/", ALICE),
    "wall": Row("GET", "wall/none/", "everybody", 404),
    "start": Row("GET", "start/", "anyone"),
    "start_budget": Row("POST", "start/budget/", BUDGETS, 302, {"project": "{slug}", "amount": "10"}),
    "start_machine": Row("POST", "start/machine/", SPAWN, 302, {"project": "{slug}"}),
    "start_dismiss": Row("POST", "start/dismiss/", "anyone", 302),
    "stray": Row("POST", "settings/strays/77001/", ADMINISTER, 404),  # there is none
}
