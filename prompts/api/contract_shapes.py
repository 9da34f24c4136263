"""The shape of what a move changes for callers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from prompts.api.serializers import DeploymentOut
from prompts.models import DeploymentEvent


class BrokenOut(serializers.Serializer[Any]):
    """A caller that does not send what the version asks for; `never`: in none of the calls that were looked at."""

    caller = serializers.CharField()
    names = serializers.ListField(child=serializers.CharField())
    never = serializers.BooleanField()
    calls = serializers.IntegerField()


class ContractOut(serializers.Serializer[Any]):
    """What going live changes against what is live, for whoever was answered by the gateway in the last `days` days.

    `sentence` is all of it in a line. `tokens`, `usd_per_day`: more than now; null where nobody can say.
    """

    sentence = serializers.CharField(allow_blank=True)
    live_version = serializers.IntegerField(source="live.number")
    days = serializers.IntegerField()
    calls = serializers.IntegerField()
    callers = serializers.IntegerField()
    broken = BrokenOut(many=True)
    new_variables = serializers.ListField(source="new_names", child=serializers.CharField())
    gone_variables = serializers.ListField(source="gone_names", child=serializers.CharField())
    is_schema_changed = serializers.BooleanField()
    new_tools = serializers.ListField(child=serializers.CharField())
    gone_tools = serializers.ListField(child=serializers.CharField())
    model_before = serializers.CharField()
    model_after = serializers.CharField()
    tokens = serializers.IntegerField(allow_null=True)
    usd_per_day = serializers.DecimalField(max_digits=18, decimal_places=6, allow_null=True)


class ContractAnswerOut(serializers.Serializer[Any]):
    """`contract` is null where nothing is live there, or the same version."""

    contract = ContractOut(allow_null=True)


class DeployedOut(DeploymentOut):
    """A move, and what it changed for callers: null where nothing was live before, or the same."""

    contract = ContractOut(allow_null=True)

    class Meta:
        model = DeploymentEvent
        fields = [*DeploymentOut.Meta.fields, "contract"]


def contract_shown(contract: Any) -> dict[str, Any] | None:
    """Return a contract as an answer has it."""
    return dict(ContractOut(contract).data) if contract is not None else None
