"""Shapes of reviews, comments, rules and plans. No rules and no writes here: services have them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from prompts.models import Comment, FreezeWindow, ReviewDecision, ReviewRequest, ScheduledDeployment


class Moment(serializers.DateTimeField):
    """A time that says its zone: `2030-01-31T09:00:00+01:00`, or with Z."""

    default_error_messages = {"no_zone": "Say the time zone, such as 2030-01-31T09:00:00+01:00."}

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            self.fail("no_zone")
        return super().enforce_timezone(value)


class PromoteIn(serializers.Serializer[Any]):
    prompt_name = serializers.CharField(max_length=255)
    from_environment = serializers.CharField(max_length=36)
    to_environment = serializers.CharField(max_length=36)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    confirm = serializers.BooleanField(required=False)
    break_glass = serializers.CharField(required=False, allow_blank=True, max_length=500)
    team_id = serializers.IntegerField(required=False, write_only=True)


class UndeployIn(serializers.Serializer[Any]):
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    team_id = serializers.IntegerField(required=False, write_only=True)


class LiveAtIn(serializers.Serializer[Any]):
    environment = serializers.CharField(max_length=36)
    at = Moment(required=False)


class ScheduleIn(serializers.Serializer[Any]):
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    version_string = serializers.CharField(required=False, max_length=100)
    version = serializers.IntegerField(required=False, min_value=1)
    due_at = Moment()
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    confirm = serializers.BooleanField(required=False)
    team_id = serializers.IntegerField(required=False, write_only=True)


class ScheduleOut(serializers.ModelSerializer[ScheduledDeployment]):
    """A plan. `failure` says why it was refused; `deployment_id` is the move it became."""

    prompt_name = serializers.CharField(source="prompt.name")
    environment = serializers.CharField(source="environment.name")
    version = serializers.IntegerField(source="version.number")
    actor = serializers.CharField(source="actor_label")
    deployment_id = serializers.IntegerField(source="event_id", allow_null=True)

    class Meta:
        model = ScheduledDeployment
        fields = [
            "id",
            "prompt_name",
            "environment",
            "version",
            "due_at",
            "confirm",
            "note",
            "state",
            "failure",
            "actor",
            "deployment_id",
            "created_at",
            "ended_at",
        ]


class EnvironmentIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=36)
    position = serializers.IntegerField(required=False, min_value=0, max_value=1000)
    team_id = serializers.IntegerField(required=False, write_only=True)


class RulesIn(serializers.Serializer[Any]):
    is_protected = serializers.BooleanField(required=False)
    approvals_needed = serializers.IntegerField(required=False, min_value=0, max_value=10)
    four_eyes = serializers.BooleanField(required=False)
    position = serializers.IntegerField(required=False, min_value=0, max_value=1000)
    drift_budget_usd = serializers.DecimalField(
        required=False,
        max_digits=10,
        decimal_places=4,
        min_value=0,
        help_text="The most that a night's runs of these suites on what is live may cost together. 0: none are run.",
    )
    suites = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        help_text="The test suites it asks for, all of them.",
    )
    team_id = serializers.IntegerField(required=False, write_only=True)


class FreezeIn(serializers.Serializer[Any]):
    starts_at = Moment(required=False, help_text="Without it, now.")
    ends_at = Moment()
    reason = serializers.CharField(max_length=500)
    team_id = serializers.IntegerField(required=False, write_only=True)


class FreezeOut(serializers.ModelSerializer[FreezeWindow]):
    environment = serializers.CharField(source="environment.name")

    class Meta:
        model = FreezeWindow
        fields = ["id", "environment", "starts_at", "ends_at", "reason"]


class NoteIn(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class VerdictIn(serializers.Serializer[Any]):
    comment = serializers.CharField(required=False, allow_blank=True, max_length=10_000)


class DecisionOut(serializers.ModelSerializer[ReviewDecision]):
    reviewer = serializers.CharField(source="reviewer_label")

    class Meta:
        model = ReviewDecision
        fields = ["reviewer", "decision", "comment", "checksum", "at"]


class ReviewOut(serializers.ModelSerializer[ReviewRequest]):
    """A request for a review, with every decision on it."""

    prompt_name = serializers.CharField(source="version.prompt.name")
    version = serializers.IntegerField(source="version.number")
    requested_by = serializers.CharField(source="requested_label")
    decisions = DecisionOut(many=True)

    class Meta:
        model = ReviewRequest
        fields = ["id", "prompt_name", "version", "requested_by", "note", "state", "at", "decided_at", "decisions"]


class CommentIn(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=10_000)
    version = serializers.IntegerField(required=False, min_value=1)
    line = serializers.IntegerField(required=False, min_value=1)


class ReplyIn(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=10_000)


class CommentChangeIn(serializers.Serializer[Any]):
    """Other words, or whether it is settled; one of them."""

    text = serializers.CharField(required=False, max_length=10_000)
    resolved = serializers.BooleanField(required=False)


class CommentOut(serializers.ModelSerializer[Comment]):
    """One comment. Answers name their `parent_id`; a thread is settled at its first comment."""

    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    author = serializers.CharField(source="author_label")
    mentions = serializers.SerializerMethodField()
    resolved_by = serializers.CharField(source="resolved_by.username", allow_null=True, default=None)
    parent_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Comment
        fields = [
            "id",
            "version",
            "line",
            "parent_id",
            "author",
            "text",
            "mentions",
            "at",
            "edited_at",
            "resolved_at",
            "resolved_by",
        ]

    def get_mentions(self, comment: Comment) -> list[str]:
        return sorted(person.username for person in comment.mentioned.all())
