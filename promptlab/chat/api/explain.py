"""`GET /explain/{receipt}`: the exact text, and every rule that fired."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from experiments import receipts
from promptlab.accounts.access import require
from promptlab.accounts.rest import HouseView
from promptlab.chat.api.views import UpstreamOut, sent_for
from promptlab.chat.explaining import Explanation, explain
from promptlab.chat.models import Message
from promptlab.lib.errors import NotFound


class RuleOut(serializers.Serializer[Any]):
    rule = serializers.CharField()
    detail = serializers.CharField()


class AnswerOut(serializers.Serializer[Any]):
    """The answer that the receipt belongs to. `upstream` is what was sent to the model; empty for one given elsewhere."""

    message_id = serializers.UUIDField()
    unit_id = serializers.CharField()
    is_external = serializers.BooleanField()
    variables = serializers.DictField()
    model = serializers.CharField()
    text_for = serializers.CharField(
        help_text="The model whose own text of the version was sent; empty: the version's."
    )
    content = serializers.CharField()
    upstream = UpstreamOut(many=True)


class ExplanationOut(serializers.Serializer[Any]):
    """What was served, and why. `content` and `messages` are the version's text; `answer` needs the right to read chats."""

    prompt = serializers.CharField()
    version = serializers.IntegerField()
    version_string = serializers.CharField()
    sha256 = serializers.CharField()
    content = serializers.CharField()
    messages = serializers.ListField(child=serializers.DictField())
    environment = serializers.CharField()
    revision = serializers.IntegerField()
    served_at = serializers.IntegerField(help_text="Unix time.")
    deployment_id = serializers.IntegerField(allow_null=True)
    experiment = serializers.CharField(allow_null=True)
    phase = serializers.IntegerField(allow_null=True)
    variant = serializers.CharField(allow_null=True)
    slot = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField(allow_null=True, help_text="A pseudonym.")
    forced = serializers.BooleanField(help_text="The unit tried a variant out, and is not counted.")
    rules = RuleOut(many=True)
    answer = AnswerOut(allow_null=True)


class Explain(HouseView):
    @extend_schema(responses=ExplanationOut)
    def get(self, request: Request, receipt: str) -> Response:
        """Explain a receipt: which text, live since when, split how, for whom."""
        read = receipts.read(receipt)
        require(self.principal, "prompt.read", read.team_id)
        found = explain(read)
        collection = found.version.prompt.collection
        if collection is not None and not collection.is_seen_by(self.principal):
            raise NotFound
        may_see_chats = self.principal.may("chat.read", read.team_id)
        return Response(ExplanationOut(_shape(found, with_answer=may_see_chats)).data)


def _shape(found: Explanation, *, with_answer: bool) -> dict[str, Any]:
    receipt, version = found.receipt, found.version
    return {
        "prompt": version.prompt.name,
        "version": version.number,
        "version_string": version.version_string,
        "sha256": version.checksum,
        "content": version.text,
        "messages": version.messages,
        "environment": found.environment.name,
        "revision": receipt.revision,
        "served_at": receipt.at,
        "deployment_id": found.move.pk if found.move else None,
        "experiment": found.experiment.key if found.experiment else None,
        "phase": receipt.phase if found.experiment else None,
        "variant": found.variant.key if found.variant else None,
        "slot": receipt.slot if receipt.slot >= 0 else None,
        "unit": receipt.unit or None,
        "forced": receipt.is_forced,
        "rules": [asdict(rule) for rule in found.rules],
        "answer": _answer(found.answer) if found.answer and with_answer else None,
    }


def _answer(answer: Message) -> dict[str, Any]:
    return {
        "message_id": answer.uid,
        "unit_id": answer.unit_id,
        "is_external": answer.is_external,
        "variables": answer.variables,
        "model": answer.model,
        "text_for": answer.text_for,
        "content": answer.content,
        "upstream": [] if answer.is_external else sent_for(answer),
    }
