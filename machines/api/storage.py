"""What a project's checkpoints take up, over REST: together, and by machine."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from machines import actions
from machines.keeping import stored
from projects import actions as projects


class StoredSerializer(serializers.Serializer[Any]):
    checkpoints = serializers.IntegerField(help_text="That can be returned to.")
    logical_bytes = serializers.IntegerField(
        help_text="Of all files of all checkpoints, as if each had its own."
    )
    unique_bytes = serializers.IntegerField(help_text="Of the contents that are kept, each once.")
    stored_bytes = serializers.IntegerField(help_text="Of the same, compressed.")
    lists_bytes = serializers.IntegerField(help_text="Of the lists of files.")
    dedup_ratio = serializers.FloatField(
        allow_null=True, help_text="How many bytes of files one stored byte stands for."
    )
    disk_bytes = serializers.IntegerField(help_text="Of the guests' disks, as large as they may get.")
    backup_bytes = serializers.IntegerField()


class MachineStoredSerializer(StoredSerializer):
    machine = serializers.CharField()


class ProjectStorageSerializer(StoredSerializer):
    project = serializers.CharField()
    at = serializers.DateTimeField()
    machines = MachineStoredSerializer(
        many=True, help_text=f"The {stored.SHOWN} that store most. Together they are more: they share."
    )


class ProjectStorage(APIView):
    """What a project's checkpoints take up; the hours of it are in its ledger, as storage."""

    @extend_schema(responses=ProjectStorageSerializer, tags=["checkpoints"], operation_id="projects_storage")
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        answer = {
            "project": slug,
            "at": timezone.now(),
            **stored.of_project(project)._asdict(),
            "machines": [{"machine": handle, **one._asdict()} for handle, one in stored.by_machine(project)],
        }
        return Response(ProjectStorageSerializer(answer).data)


class MachineStorage(APIView):
    """What one machine's checkpoints take up."""

    @extend_schema(responses=MachineStoredSerializer, tags=["checkpoints"], operation_id="machines_storage")
    def get(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        answer = {"machine": machine.handle, **stored.of_machine(machine)._asdict()}
        return Response(MachineStoredSerializer(answer).data)
