"""Addresses of the pages. Handles never change, so neither do these."""

from django.urls import path, re_path

from dashboard.views import (
    api,
    budgets,
    checkpoints,
    console,
    fleet,
    limits,
    machines,
    requests,
    settings,
    spawn,
    trees,
)

app_name = "dashboard"
urlpatterns = [
    path("", fleet.index, name="fleet"),
    path("machines/new/", spawn.spawn, name="spawn"),
    path("machines/new/prediction/", spawn.prediction, name="prediction"),
    path("machines/<str:handle>/", machines.detail, name="machine"),
    path("machines/<str:handle>/moment/", machines.moment, name="moment"),
    path("machines/<str:handle>/log.json", machines.log_lines, name="log_lines"),
    path("machines/<str:handle>/log.txt", machines.log_file, name="log_file"),
    path("machines/<str:handle>/console/", console.terminal, name="console"),
    path("machines/<str:handle>/rollback/", machines.rollback, name="rollback"),
    re_path(
        r"^machines/(?P<handle>[^/]+)/(?P<verb>checkpoint|pause|resume|terminate)/$",
        machines.verb,
        name="verb",
    ),
    path("operations/<uuid:operation_id>/give-up/", machines.give_up, name="give_up"),
    path("checkpoints/", trees.index, name="trees"),
    path("p/<slug:slug>/checkpoints/", trees.project, name="tree"),
    path("checkpoints/<str:handle>/", checkpoints.detail, name="checkpoint"),
    path("checkpoints/<str:handle>/branch/", spawn.branch, name="branch"),
    path("budgets/", budgets.index, name="budgets"),
    path("budgets/limits/new/", limits.new, name="limit_new"),
    path("budgets/limits/<int:budget_id>/", limits.change, name="limit"),
    path("budgets/limits/<int:budget_id>/preview/", limits.preview, name="limit_preview"),
    path("budgets/limits/<int:budget_id>/raise/", limits.raise_, name="limit_raise"),
    path("budgets/limits/<int:budget_id>/lift/", limits.lift, name="limit_lift"),
    path("p/<slug:slug>/budget/", budgets.project, name="budget"),
    path("p/<slug:slug>/budget/history/", budgets.history, name="budget_history"),
    path("p/<slug:slug>/budget/ask/", requests.ask, name="ask"),
    path("p/<slug:slug>/budget/transfer/", requests.transfer, name="transfer"),
    path("budgets/requests/<int:request_id>/", requests.decide, name="request"),
    path("budgets/transfers/<int:transfer_id>/", requests.settle_transfer, name="transfer_decide"),
    path("p/<slug:slug>/breaker/close/", budgets.close_breaker, name="breaker_close"),
    path("p/<slug:slug>/ledger/", budgets.journal, name="ledger"),
    path("p/<slug:slug>/ledger.csv", budgets.journal_file, name="ledger_csv"),
    path("prices/", budgets.prices, name="prices"),
    path("api/", api.index, name="api"),
    path("settings/", settings.index, name="settings"),
    path("settings/strays/<int:vmid>/", settings.stray, name="stray"),
]
