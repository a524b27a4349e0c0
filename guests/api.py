"""Proxmox over REST: what the last check of the cluster found, and a new check. For staff."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from guests import diagnoses
from projects.errors import NotThere
from projects.permissions import acting
from proxmox.diagnosis.findings import Status

STATUSES = [status.value for status in Status]


class MaySee(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return diagnoses.may_see(request.user)


class FindingSerializer(serializers.Serializer[Any]):
    section = serializers.CharField()
    name = serializers.CharField(help_text="What was looked at.")
    status = serializers.ChoiceField(
        choices=STATUSES,
        help_text="`missing`: machines cannot run like this. `unknown`: it could not be asked.",
    )
    sentence = serializers.CharField()
    commands = serializers.ListField(
        child=serializers.CharField(),
        help_text="They mend it: settings of autovibe, or a node's shell as root.",
    )


class DiagnosisSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    asked_at = serializers.DateTimeField()
    asked_by = serializers.CharField()
    finished_at = serializers.DateTimeField(allow_null=True, help_text="Null while it is under way.")
    status = serializers.CharField(help_text="The worst finding's; empty while it is under way.")
    findings = FindingSerializer(many=True)


class LastCheck(APIView):
    """The check of the cluster that was asked for last."""

    permission_classes = (MaySee,)

    @extend_schema(responses=DiagnosisSerializer, tags=["proxmox"], operation_id="proxmox_show")
    def get(self, request: Request) -> Response:
        if found := diagnoses.latest():
            return Response(DiagnosisSerializer(found).data)
        raise NotThere("The cluster has not been checked yet. POST /api/v1/proxmox/check/ has it checked.")


class Check(APIView):
    """Have the cluster checked: connection, storages, rights, template, network."""

    permission_classes = (MaySee,)

    @extend_schema(
        request=None, responses={202: DiagnosisSerializer}, tags=["proxmox"], operation_id="proxmox_check"
    )
    def post(self, request: Request) -> Response:
        asked = diagnoses.ask(acting(request.user).get_username())
        headers = {"Location": "/api/v1/proxmox/", "Retry-After": "1"}  # no operation: it is asked for there
        return Response(DiagnosisSerializer(asked).data, status=202, headers=headers)
