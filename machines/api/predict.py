"""Over REST: what a machine is expected to use, before it is spawned; and how often such ranges were right."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import burn
from machines.api.predict_serializers import CalibrationSerializer, RangeSerializer
from machines.forecast import predict
from projects import actions as projects
from projects.permissions import acting


class PredictSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    type = serializers.CharField(help_text="See /api/v1/machine-types/.")
    prompt = serializers.CharField(trim_whitespace=False)
    model = serializers.CharField(required=False, default="", allow_blank=True, max_length=80)


class ExpectationSerializer(serializers.Serializer[Any]):
    """The ranges are empty, and `sentence` says why, where there is not enough history."""

    currency = serializers.CharField()
    neighbours = serializers.IntegerField(help_text="Past machines that it was made from.")
    ranges = serializers.DictField(
        child=RangeSerializer(), help_text=f"By figure: {', '.join(predict.FIGURES)}."
    )
    suggested_micros = serializers.IntegerField(
        allow_null=True, help_text="A limit that will do in nineteen of twenty cases."
    )
    sentence = serializers.CharField(allow_blank=True)
    calibration = CalibrationSerializer(help_text="Of this project's predictions so far.")


class Predict(APIView):
    """What a machine will probably use, from those with like prompts that you may see."""

    @extend_schema(
        request=PredictSerializer,
        responses=ExpectationSerializer,
        tags=["machines"],
        operation_id="machines_predict",
    )
    def post(self, request: Request) -> Response:
        asked = PredictSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = asked.validated_data
        project = projects.find(found["project"], user=request.user)
        expected = predict.predict(
            project=project,
            user=acting(request.user),
            type_name=found["type"],
            prompt=found["prompt"],
            model=found["model"],
        )
        said = {
            "currency": project.currency,
            "neighbours": expected.neighbours,
            "ranges": expected.ranges,
            "suggested_micros": expected.suggested_micros,
            "sentence": expected.sentence,
            "calibration": predict.calibration(project),
        }
        return Response(ExpectationSerializer(said).data)


class BudgetCalibrationSerializer(serializers.Serializer[Any]):
    n = serializers.IntegerField(help_text="Past periods that had enough history half-way.")
    inside = serializers.IntegerField(help_text="How many ended within the range that was forecast then.")


class ProjectCalibrationSerializer(serializers.Serializer[Any]):
    machines = CalibrationSerializer()
    budgets = BudgetCalibrationSerializer()


class Calibrations(APIView):
    """How often ranges held the truth in a project; eight of ten are meant to."""

    @extend_schema(
        responses=ProjectCalibrationSerializer, tags=["projects"], operation_id="projects_calibration"
    )
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        said = {"machines": predict.calibration(project), "budgets": burn.calibration(project.pk)}
        return Response(ProjectCalibrationSerializer(said).data)
