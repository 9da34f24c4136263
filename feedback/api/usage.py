"""How prompts are used, over REST: one prompt by version, and everything in groups."""

from __future__ import annotations

import csv
import io
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.results import READ
from feedback.usage.asking import Asked, freshness, prompt_of, today
from feedback.usage.groups import BY, NAMES, Groups, totals
from feedback.usage.prompt import VersionUse, prompt_usage
from feedback.usage.sheets import lines
from feedback.usage.sums import Used
from promptlab.accounts.browsing import ApiPage
from promptlab.accounts.rest import HouseView
from promptlab.lib.pagination import Pages


class UsageQuery(serializers.Serializer[Any]):
    """What is asked for."""

    prompt = serializers.CharField(max_length=255, help_text="Short name or id.")
    days = serializers.IntegerField(min_value=1, max_value=365, default=30)
    environment = serializers.CharField(max_length=36, default="", allow_blank=True)


class UsedOut(serializers.Serializer[Any]):
    """Counts; ratios are null while there is nothing to divide by. The range is the 95 % one."""

    calls = serializers.IntegerField()
    shown = serializers.IntegerField()
    errors = serializers.IntegerField()
    rated = serializers.IntegerField(source="said.ratings")
    up = serializers.IntegerField(source="said.ups")
    approval = serializers.FloatField(source="said.rate", allow_null=True)
    approval_low = serializers.FloatField(source="said.low", allow_null=True)
    approval_high = serializers.FloatField(source="said.high", allow_null=True)
    coverage = serializers.FloatField(allow_null=True)
    median_ms = serializers.IntegerField(allow_null=True, help_text="Off by at most 4.5 %.")
    p95_ms = serializers.IntegerField(allow_null=True, help_text="Off by at most 4.5 %.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = serializers.DecimalField(18, 9, help_text="Of calls whose price is known; `unpriced` are the others.")
    unpriced = serializers.IntegerField()


class VersionUsedOut(UsedOut):
    version = serializers.IntegerField()
    version_string = serializers.CharField(allow_blank=True)


class PromptUsageOut(serializers.Serializer[Any]):
    """How a prompt was used since the beginning of a day of UTC. The newest version first."""

    prompt = serializers.CharField()
    since = serializers.DateTimeField()
    totals = UsedOut()
    versions = VersionUsedOut(many=True)


class Usage(HouseView):
    @extend_schema(operation_id="feedback_usage", parameters=[UsageQuery], responses=PromptUsageOut)
    def get(self, request: Request) -> Response:
        """Tell how a prompt is used, by version: calls, approval with its range, coverage, waits, cost."""
        if not self.principal.may_anywhere(READ):
            self.principal.team_for(READ)
        asked = UsageQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        prompt = prompt_of(self.principal, said["prompt"])
        found = prompt_usage(self.principal, prompt, days=said["days"], environment=said["environment"])
        told = {"prompt": prompt.name, "since": found.since, "totals": UsedOut(found.totals).data}
        return Response({**told, "versions": [_version(one) for one in found.versions]})


def _version(one: VersionUse) -> dict[str, Any]:
    used: Used = one.used
    return {"version": one.number, "version_string": one.version_string, **UsedOut(used).data}


class GroupsQuery(serializers.Serializer[Any]):
    """Which days, whose, where, and in which groups. What is left out does not narrow."""

    days = serializers.IntegerField(min_value=1, max_value=90, default=30, help_text="Of UTC, today included.")
    by = serializers.CharField(
        max_length=60, default="prompt", help_text=f"One to three of: {', '.join(BY)}; with commas between them."
    )
    team_id = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    prompt = serializers.CharField(required=False, max_length=255, help_text="Short name or id.")
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="Its number.")
    environment = serializers.CharField(max_length=36, default="", allow_blank=True)
    model = serializers.CharField(max_length=100, default="", allow_blank=True)

    def validate_by(self, value: str) -> list[str]:
        """Return the groups, each once."""
        names = list(dict.fromkeys(name.strip() for name in value.split(",")))
        if not 0 < len(names) <= 3 or not set(names) <= set(BY):
            raise serializers.ValidationError(f"One to three of: {', '.join(BY)}.")
        return names


class GroupOut(UsedOut):
    """A group: what it was asked to be told by, and its counts. The other names are null."""

    team_id = serializers.IntegerField(allow_null=True)
    team = serializers.CharField(allow_null=True)
    prompt_id = serializers.IntegerField(allow_null=True)
    prompt = serializers.CharField(allow_null=True)
    version = serializers.IntegerField(allow_null=True)
    version_string = serializers.CharField(allow_null=True)
    environment = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    day = serializers.DateField(allow_null=True)


class GroupsOut(serializers.Serializer[Any]):
    """A page of groups, in the order of their names; what is private to others is in no number.

    Ratings count on the day of the answer they are about. `waiting_since`: what came then is not in the sums yet, and
    should be. `counted_from`: days before it are still being added. Both null when all is well.
    """

    since = serializers.DateField()
    until = serializers.DateField()
    waiting_since = serializers.DateTimeField(allow_null=True)
    counted_from = serializers.DateField(allow_null=True)
    totals = UsedOut()
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = GroupOut(many=True)


class PageQuery(serializers.Serializer[Any]):
    """Which part of the list."""

    page = serializers.IntegerField(required=False, min_value=1)
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=100)


class Sheet(BaseRenderer):
    """Rows as a file. Problems are told as everywhere."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        if not isinstance(data, list):
            return JSONRenderer().render(data)
        written = io.StringIO()
        csv.writer(written).writerows(data)
        return written.getvalue().encode()


class Uses(HouseView):
    renderer_classes = (JSONRenderer, ApiPage, Sheet)

    @extend_schema(
        operation_id="usage_list",
        parameters=[GroupsQuery, PageQuery],
        responses={(200, "application/json"): GroupsOut, (200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> Response:
        """Tell how everything is used, in groups: calls, approval, coverage, waits, errors, tokens, cost.

        As CSV with `format=csv`: all groups, up to 10,000.
        """
        query = GroupsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        said = query.validated_data
        asked = self._asked(said)
        groups = Groups(asked.rows(self.principal), said["by"])
        if getattr(request, "accepted_renderer", None) and request.accepted_renderer.format == Sheet.format:
            return self._file(groups)
        pages = Pages()
        page = pages.paginate_queryset(groups, request, self) or []  # type: ignore[arg-type]
        fresh = freshness()
        told = {
            "since": asked.since,
            "until": today(),
            "waiting_since": fresh.waiting_since,
            "counted_from": fresh.counted_from if fresh.lacks(asked.since) else None,
            "totals": UsedOut(totals(asked.rows(self.principal))).data,
        }
        results = [{**dict.fromkeys(NAMES.values()), **named, **UsedOut(used).data} for named, used in page]
        return Response({**told, **pages.get_paginated_response(results).data})

    def _asked(self, said: dict[str, Any]) -> Asked:
        """Return what is asked for. Raises Forbidden, NotFound and PromptNotFound."""
        team_id = said.get("team_id")
        if team_id is not None or not self.principal.may_anywhere(READ):
            self.principal.team_for(READ, team_id)
        prompt = prompt_of(self.principal, said["prompt"]) if said.get("prompt") else None
        return Asked(
            days=said["days"],
            environment=said["environment"],
            team_id=team_id,
            prompt_id=prompt.pk if prompt else None,
            version=said.get("version"),
            model=said["model"],
        )

    def _file(self, groups: Groups) -> Response:
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"', "Cache-Control": "no-store"}
        return Response(lines(groups), headers=headers)
