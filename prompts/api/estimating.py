"""How many tokens something takes, before it is sent: for counters beside a text field, and for limits."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from promptlab_sdk.kernel.spec import Message
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.lib.errors import Invalid
from promptlab.llm import ChatMessage
from promptlab.llm.offering import estimate
from prompts import rendering
from prompts.api.versions import OfVersions


class EstimateIn(serializers.Serializer[Any]):
    """A `text`, or a `prompt` by name or id with its `variables`; a blank that is not filled counts as it is written."""

    text = serializers.CharField(required=False, allow_blank=True, max_length=1_000_000, trim_whitespace=False)
    prompt = serializers.CharField(required=False, max_length=100)
    version = serializers.CharField(required=False, max_length=50)
    variables = serializers.DictField(required=False)
    environment = serializers.CharField(required=False, max_length=36)
    model = serializers.CharField(required=False, allow_blank=True, max_length=200)
    team_id = serializers.IntegerField(required=False)


class EstimateOut(serializers.Serializer[Any]):
    """`is_estimated`: near what the provider will count, not exactly that."""

    tokens = serializers.IntegerField()
    is_estimated = serializers.BooleanField()


class Estimate(OfVersions):
    reads_library = ("POST",)

    @extend_schema(request=EstimateIn, responses=EstimateOut)
    def post(self, request: Request) -> Response:
        """Count the tokens of a text, or of a prompt filled with variables, as a model would. Nothing is sent."""
        body = self.checked(EstimateIn)
        if ("text" in body) == ("prompt" in body):
            raise Invalid.field("text", "Send either `text` or `prompt`.", code="required")
        if "text" in body:
            team_id, content = self.principal.team_for("prompt.read", body.get("team_id")), body["text"]
        else:
            team_id, content = self._filled(body)
        counted = estimate(team_id, content, body.get("model", ""))
        return Response({"tokens": counted.tokens, "is_estimated": not counted.is_exact})

    def _filled(self, body: dict[str, Any]) -> tuple[int, str | list[ChatMessage]]:
        """Return the team of the prompt, and the prompt as a model would be sent it."""
        prompt = self.prompt(body["prompt"])
        version = self.version(prompt, body["version"]) if "version" in body else prompt.newest
        said = self.put_together(version, body.get("environment", ""))
        filled = rendering.render(
            said.content.for_model(body.get("model", "")), body.get("variables", {}), missing="keep"
        )
        return prompt.team_id, filled if isinstance(filled, str) else [_plain(message) for message in filled]


def _plain(message: Message) -> ChatMessage:
    return ChatMessage(message.role, message.content)
