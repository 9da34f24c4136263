"""Shapes of the experiment API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from experiments.models import Experiment, Variant


class VariantIn(serializers.Serializer[Any]):
    """One variant: its key, its version, its share. `weight` is in percent, `weight_bp` in hundredths of a percent."""

    key = serializers.CharField(max_length=50)
    name = serializers.CharField(required=False, allow_blank=True, max_length=100)
    version = serializers.IntegerField(required=False, min_value=1)
    version_string = serializers.CharField(required=False, max_length=100)
    weight_bp = serializers.IntegerField(required=False, min_value=0, max_value=10_000)
    weight = serializers.DecimalField(required=False, max_digits=5, decimal_places=2, min_value=0, max_value=100)


class ExperimentIn(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200)
    key = serializers.CharField(required=False, max_length=100)
    hypothesis = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    coverage_bp = serializers.IntegerField(required=False)
    variants = VariantIn(many=True)
    team_id = serializers.IntegerField(required=False, write_only=True)


class ActIn(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class VariantOut(serializers.ModelSerializer[Variant]):
    version = serializers.IntegerField(source="version.number")
    version_string = serializers.CharField(source="version.version_string")

    class Meta:
        model = Variant
        fields = ["key", "name", "is_control", "weight_bp", "version", "version_string"]


class ExperimentOut(serializers.ModelSerializer[Experiment]):
    prompt_name = serializers.CharField(source="prompt.name")
    environment = serializers.CharField(source="environment.name")
    variants = VariantOut(many=True)

    class Meta:
        model = Experiment
        fields = [
            "id", "key", "title", "hypothesis", "state", "prompt_name", "environment", "phase", "coverage_bp",
            "variants", "created_at", "started_at", "ended_at", "end_note",
        ]  # fmt: skip


class AssignmentOut(serializers.Serializer[Any]):
    experiment = serializers.CharField()
    unit_id = serializers.CharField()
    phase = serializers.IntegerField()
    state = serializers.CharField()
    variant = serializers.CharField()
    version = serializers.IntegerField()
    is_assigned = serializers.BooleanField()
    slot = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
