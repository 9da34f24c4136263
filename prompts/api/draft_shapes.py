"""Shapes of drafts. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class DraftIn(serializers.Serializer[Any]):
    """What was typed so far: it may hold errors. What is left out is taken from the newest version when it is saved."""

    content = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    messages = serializers.ListField(child=serializers.DictField(), required=False, max_length=1000)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    parameters = serializers.DictField(required=False)
    variables = serializers.DictField(child=serializers.DictField(), required=False)
    syntax = serializers.CharField(required=False, max_length=20)
    output_schema = serializers.DictField(required=False)
    stop = serializers.ListField(required=False, max_length=1000)
    tools = serializers.ListField(required=False, max_length=1000)
    model_texts = serializers.DictField(required=False)
    message = serializers.CharField(required=False, allow_blank=True, max_length=500)
    row_version = serializers.IntegerField(required=False, min_value=0, help_text="The state you read; 0 for none.")
    started_from = serializers.IntegerField(required=False, min_value=1, help_text="The version you have taken in.")


class DraftSaveIn(DraftIn):
    row_version = None  # type: ignore[assignment]
    started_from = None  # type: ignore[assignment]
    version_string = serializers.CharField(required=False, allow_blank=True, max_length=100)
    confirm = serializers.BooleanField(required=False)
    allow_secret = serializers.CharField(
        required=False, max_length=500, help_text="Why what looks like a key is none; for administrators."
    )


class FieldProblemOut(serializers.Serializer[Any]):
    field = serializers.CharField()
    detail = serializers.CharField()
    code = serializers.CharField()


class DraftOut(serializers.Serializer[Any]):
    """A draft, filled up with the newest version where it says nothing. `problems`: why it could not be saved as it is."""

    content = serializers.CharField()
    messages = serializers.ListField(child=serializers.DictField())
    model = serializers.CharField()
    parameters = serializers.DictField()
    variables = serializers.DictField()
    syntax = serializers.CharField()
    output_schema = serializers.DictField()
    stop = serializers.ListField()
    tools = serializers.ListField()
    model_texts = serializers.DictField()
    message = serializers.CharField()
    started_from = serializers.IntegerField()
    newest_version = serializers.IntegerField()
    row_version = serializers.IntegerField()
    updated_at = serializers.DateTimeField(allow_null=True)
    problems = FieldProblemOut(many=True)
