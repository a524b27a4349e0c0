"""Addresses: pages, the API, and the admin."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from audit import api as audit
from autovibe import about, conventions
from autovibe.health import healthz
from autovibe.metrics import metrics
from autovibe.problems import NoSuchPath
from budgets import api as budgets
from budgets import breaker_api as breaker
from budgets import pools_api as pools
from budgets import prices_api as prices
from budgets import transfers_api as transfers
from budgets import watch_api as watch
from checkpoints.api import checkpoints, effects, reading
from gateway import calls_api as calls
from gateway.receipts import api as receipts
from gateway.upstreams import api as upstreams
from guests import api as guests
from machines.api import (
    keeping,
    ledger,
    machines,
    message,
    past,
    proofs,
    requests,
    resources,
    retention,
    rules,
    storage,
    usage,
)
from machines.api import predict as predictions
from operations import api as operations
from projects.api import members, projects, tokens

api = [
    path("", about.Index.as_view()),
    path("me/", about.Me.as_view()),
    path("health/", about.Health.as_view()),
    path("projects/", projects.Projects.as_view()),
    path("projects/<slug:slug>/", projects.ProjectDetail.as_view()),
    path("projects/<slug:slug>/calibration/", predictions.Calibrations.as_view()),
    path("projects/<slug:slug>/budgets/", budgets.ProjectBudgets.as_view()),
    path("projects/<slug:slug>/ledger/", ledger.Ledger.as_view()),
    path("projects/<slug:slug>/ledger.csv", ledger.LedgerCsv.as_view()),
    path("projects/<slug:slug>/checkpoint-rules/", rules.ProjectCheckpointRules.as_view()),
    path("projects/<slug:slug>/retention/", retention.ProjectRetention.as_view()),
    path("projects/<slug:slug>/storage/", storage.ProjectStorage.as_view()),
    path("machines/<str:reference>/storage/", storage.MachineStorage.as_view()),
    path("projects/<slug:slug>/breaker/", breaker.ProjectBreaker.as_view()),
    path("projects/<slug:slug>/breaker/close/", breaker.ProjectBreakerClose.as_view()),
    re_path(r"^budgets/(?P<holder>system|hub:[a-z][a-z0-9-]{0,39})/$", budgets.SharedBudgets.as_view()),
    path("resources/overview/", resources.Overview.as_view()),
    path("resources/invariant/", watch.Invariant.as_view()),
    path("resources/projects/<slug:slug>/", resources.ProjectResources.as_view()),
    path("resources/projects/<slug:slug>/budget/", resources.ProjectBudget.as_view()),
    path("machines/<str:reference>/resources/", resources.MachineResources.as_view()),
    path("projects/<slug:slug>/greediness/", projects.ProjectGreediness.as_view()),
    path("projects/<slug:slug>/tree/", past.ProjectTree.as_view()),
    path("projects/<slug:slug>/hub/", projects.ProjectHub.as_view()),
    path("projects/<slug:slug>/members/", members.ProjectMembers.as_view()),
    path("projects/<slug:slug>/members/<str:name>/", members.ProjectMember.as_view()),
    path("projects/<slug:slug>/machine-role/", members.ProjectMachineRole.as_view()),
    path("projects/<slug:slug>/invitations/", members.ProjectInvitations.as_view()),
    path("projects/<slug:slug>/invitations/<uuid:number>/", members.ProjectInvitation.as_view()),
    path("tokens/", tokens.Tokens.as_view()),
    path("tokens/<int:number>/", tokens.TokenDetail.as_view()),
    path("tokens/<int:number>/rotate/", tokens.TokenRotation.as_view()),
    path("auth/jwt/", tokens.Jwt.as_view()),
    path("auth/jwt/refresh/", tokens.JwtRefresh.as_view()),
    path("auth/jwt/revoke/", tokens.JwtRevoke.as_view()),
    path("projects/<slug:slug>/recording/", calls.ProjectRecording.as_view()),
    path("machines/", machines.Machines.as_view()),
    path("machines/counts/", machines.MachineCounts.as_view()),
    path("machines/predict/", predictions.Predict.as_view()),
    path("machines/<str:reference>/", machines.MachineDetail.as_view()),
    path("machines/<str:reference>/log/", machines.MachineLog.as_view()),
    path("machines/<str:reference>/usage/", usage.MachineUsage.as_view()),
    path("machines/<str:reference>/calls/", calls.MachineCalls.as_view()),
    path("machines/<str:reference>/calls/<int:number>/", calls.MachineCall.as_view()),
    path("machines/<str:reference>/replay/", calls.MachineReplay.as_view()),
    path("machines/<str:reference>/budgets/", machines.MachineBudgets.as_view()),
    path("machines/<str:reference>/checkpoint/", keeping.MachineCheckpoint.as_view()),
    path("machines/<str:reference>/rollback/", machines.MachineRollback.as_view()),
    path("machines/<str:reference>/message/", message.MachineMessages.as_view()),
    path("machines/<str:reference>/receipt/", receipts.MachineReceipt.as_view()),
    path("machines/<str:reference>/at/", past.MachineAt.as_view()),
    path("machines/<str:reference>/restore-file/", past.MachineRestoreFile.as_view()),
    *[
        path(f"machines/<str:reference>/{verb}/", machines.MachineVerb.as_view(verb=verb))
        for verb in ("pause", "resume")
    ],
    path("machines/<str:reference>/terminate/", machines.MachineTermination.as_view()),
    path("events/", audit.Events.as_view()),
    path("events/stream/", audit.EventsStream.as_view()),
    path("events/export/", audit.EventsExport.as_view()),
    path("machine-types/", machines.MachineTypes.as_view()),
    path("checkpoints/", checkpoints.Checkpoints.as_view()),
    path("checkpoints/<str:reference>/", checkpoints.CheckpointDetail.as_view()),
    path("checkpoints/<str:reference>/manifest/", checkpoints.CheckpointManifest.as_view()),
    path("checkpoints/<str:reference>/files/", checkpoints.CheckpointFiles.as_view()),
    path("checkpoints/<str:reference>/file/", checkpoints.CheckpointFile.as_view()),
    path("checkpoints/<str:reference>/diff/", reading.CheckpointDiff.as_view()),
    path("checkpoints/<str:reference>/compare/", reading.CheckpointCompare.as_view()),
    path("checkpoints/<str:reference>/tar/", reading.CheckpointTar.as_view()),
    path("checkpoints/<str:reference>/effects/", effects.CheckpointEffects.as_view()),
    path("checkpoints/<str:reference>/branch/", machines.Branch.as_view()),
    path("checkpoints/<str:reference>/verify/", proofs.CheckpointVerify.as_view()),
    path("checkpoints/<str:reference>/verifications/", proofs.CheckpointVerifications.as_view()),
    path("checkpoints/<str:reference>/export/", proofs.CheckpointExport.as_view()),
    path("operations/", operations.Operations.as_view()),
    path("operations/<uuid:operation_id>/", operations.OperationDetail.as_view()),
    path("operations/<uuid:operation_id>/cancel/", operations.OperationCancel.as_view()),
    path("operations/<uuid:operation_id>/give-up/", operations.OperationGiveUp.as_view()),
    path("transfers/", transfers.Transfers.as_view()),
    *[
        path(f"transfers/<int:number>/{verb}/", transfers.TransferVerb.as_view(verb=verb))
        for verb in transfers.VERBS
    ],
    path("budget-requests/", requests.BudgetRequests.as_view()),
    path("budget-requests/<int:number>/", requests.BudgetRequestDetail.as_view()),
    path("budget-requests/<int:number>/grant/", requests.BudgetRequestGrant.as_view()),
    path("budget-requests/<int:number>/deny/", requests.BudgetRequestDeny.as_view()),
    path("budget-requests/<int:number>/withdraw/", requests.BudgetRequestWithdraw.as_view()),
    path("pools/", pools.Pools.as_view()),
    path("pools/<slug:name>/", pools.PoolDetail.as_view()),
    path("pools/<slug:name>/projects/<slug:slug>/", pools.PoolProject.as_view()),
    path("prices/", prices.Prices.as_view()),
    path("prices/<path:model>/", prices.PriceDetail.as_view()),
    path("ledger/reratings/", prices.Reratings.as_view()),
    path("upstreams/", upstreams.Upstreams.as_view()),
    path("upstreams/<slug:name>/", upstreams.UpstreamDetail.as_view()),
    path("upstreams/<slug:name>/test/", upstreams.UpstreamTest.as_view()),
    path("upstreams/<slug:name>/keys/<str:label>/", upstreams.UpstreamKeyDetail.as_view()),
    path("proxmox/", guests.LastCheck.as_view()),
    path("proxmox/check/", guests.Check.as_view()),
    re_path("", NoSuchPath.as_view()),
]

handler500 = "autovibe.broken.page"
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
urlpatterns = [
    path("", include("dashboard.urls")),
    path("", include("accounts.urls")),
    path("api/v1/", include(conventions.on(api))),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("admin/", admin.site.urls),
    path("healthz", healthz),
    path("metrics", metrics),
]
