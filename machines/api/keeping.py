"""Taking checkpoints over REST: what one with the guest's memory would take, and having one taken."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints.api.checkpoints import CheckpointSerializer
from machines import actions
from machines.api.serializers import TakePreviewSerializer, TakeSerializer
from machines.keeping import memory, policies
from projects.permissions import acting, require_operating


class MachineCheckpoint(APIView):
    """Take a checkpoint of it now."""

    @extend_schema(
        responses=TakePreviewSerializer, tags=["machines"], operation_id="machines_checkpoint_preview"
    )
    def get(self, request: Request, reference: str) -> Response:
        """What its policy is, and what a checkpoint with its memory would take."""
        machine = actions.find(reference, user=request.user)
        price = memory.price(machine)._asdict()
        preview = TakePreviewSerializer({"policy": policies.summary_of(machine), "ram": price})
        return Response(preview.data)

    @extend_schema(
        request=TakeSerializer,
        responses={202: CheckpointSerializer},
        tags=["machines"],
        operation_id="machines_checkpoint",
    )
    def post(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        require_operating(request.user, machine)
        asked = checked(TakeSerializer, request.data)
        taken = actions.checkpoint(machine, by=acting(request.user), why=asked["why"], ram=asked["ram"])
        return Response(CheckpointSerializer(taken).data, status=202)
