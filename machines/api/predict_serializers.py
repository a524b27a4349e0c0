"""Predictions as the API shows them: before a machine starts, and beside what it did use."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from machines.forecast import predict
from machines.models import Prediction


class RangeSerializer(serializers.Serializer[Any]):
    """Of ten machines, eight are expected between low and high."""

    low = serializers.IntegerField()
    middle = serializers.IntegerField()
    high = serializers.IntegerField()


class CalibrationSerializer(serializers.Serializer[Any]):
    n = serializers.IntegerField(help_text="Predictions whose machines have ended.")
    inside = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many ranges held the truth, by figure; 80 % are meant to.",
    )


class PredictionSerializer(serializers.ModelSerializer[Prediction]):
    ranges = serializers.SerializerMethodField(help_text="By figure; empty if there was not enough history.")
    used = serializers.SerializerMethodField(help_text="By figure, once the machine has ended; else null.")

    class Meta:
        model = Prediction
        fields = ["neighbours", "suggested_micros", "ranges", "used"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=RangeSerializer()))
    def get_ranges(self, kept: Prediction) -> dict[str, dict[str, int]]:
        return {
            name: dict(zip(("low", "middle", "high"), found, strict=True))
            for name, found in predict.ranges_of(kept).items()
        }

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField(), allow_null=True))
    def get_used(self, kept: Prediction) -> dict[str, int] | None:
        return predict.used_by(kept)
