"""Addresses of the pages. Handles never change, so neither do these."""

from django.urls import path, re_path

from dashboard.views import api, checkpoints, console, fleet, machines, settings, spawn

app_name = "dashboard"
urlpatterns = [
    path("", fleet.index, name="fleet"),
    path("machines/new/", spawn.spawn, name="spawn"),
    path("machines/<str:handle>/", machines.detail, name="machine"),
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
    path("checkpoints/<str:handle>/", checkpoints.detail, name="checkpoint"),
    path("checkpoints/<str:handle>/branch/", spawn.branch, name="branch"),
    path("api/", api.index, name="api"),
    path("settings/", settings.index, name="settings"),
    path("settings/strays/<int:vmid>/", settings.stray, name="stray"),
]
