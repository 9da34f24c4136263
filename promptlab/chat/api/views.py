"""Conversations and messages over REST, to read."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab import llm
from promptlab.accounts.rest import HouseView
from promptlab.chat.errors import ConversationNotFound, MessageNotFound
from promptlab.chat.models import Conversation, Message
from promptlab.chat.transcripts import sent_messages


class MessageOut(serializers.ModelSerializer[Message]):
    """One message; an answer says what was served and what it took. `cost_usd` null: unknown.

    `text_for` names the model whose own text of the version was sent; empty: the version's. Where the prompt is private
    to others, neither it nor its experiment is named.
    """

    message_id = serializers.UUIDField(source="uid")
    version = serializers.IntegerField(source="version.number", default=None, allow_null=True)
    prompt = serializers.SerializerMethodField()
    environment = serializers.CharField(source="environment.name", default=None, allow_null=True)
    experiment = serializers.SerializerMethodField()
    variant = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = [
            "message_id", "role", "content", "state", "created_at", "ended_at", "prompt", "version", "environment",
            "experiment", "phase", "variant", "slot", "unit_id", "model", "text_for", "provider", "finish_reason", "error_code",
            "input_tokens", "output_tokens", "cost_usd", "latency_ms", "first_token_ms",
        ]  # fmt: skip

    def get_prompt(self, message: Any) -> str | None:
        return message.version.prompt.name if message.version and not message.is_hidden else None

    def get_experiment(self, message: Any) -> str | None:
        return message.experiment.key if message.experiment and not message.is_hidden else None

    def get_variant(self, message: Any) -> str | None:
        return message.served_variant.key if message.served_variant and not message.is_hidden else None


class UpstreamOut(serializers.Serializer[Any]):
    """One message as the model got it; calls of tools stand there only where there were some."""

    role = serializers.CharField()
    content = serializers.CharField()
    tool_calls = serializers.ListField(child=serializers.DictField(), required=False)
    tool_call_id = serializers.CharField(required=False)


def sent_for(answer: Message) -> list[dict[str, Any]]:
    """Return what was sent to the model for an answer."""
    return [_sent(part) for part in sent_messages(answer)]


def _sent(part: llm.ChatMessage) -> dict[str, Any]:
    said: dict[str, Any] = {"role": part.role, "content": part.content}
    if part.tool_calls:
        said["tool_calls"] = list(part.tool_calls)
    if part.tool_call_id:
        said["tool_call_id"] = part.tool_call_id
    return said


class MessageDetailOut(MessageOut):
    """One message with exactly what was sent to the model for it."""

    upstream = serializers.SerializerMethodField()

    class Meta(MessageOut.Meta):
        fields = [*MessageOut.Meta.fields, "upstream"]

    @extend_schema(responses=UpstreamOut(many=True))
    def get_upstream(self, message: Message) -> list[dict[str, Any]]:
        return sent_for(message) if message.is_answer else []


NAMED = ("version__prompt", "environment", "experiment", "served_variant")


class MessageDetail(HouseView):
    @extend_schema(responses=MessageDetailOut)
    def get(self, request: Request, uid: str) -> Response:
        """Return a message and the exact text that was sent to the model."""
        rows = Message.objects.visible_to(self.principal, "chat.read").select_related(*NAMED)
        # Rating and chatting go by the team; the text of a private prompt does not.
        rows = rows.without_private(self.principal, "version__prompt__").with_hidden(
            self.principal, "version__prompt__"
        )
        found = rows.with_uids([uid]).first()
        if found is None:
            raise MessageNotFound(message=uid)
        return Response(MessageDetailOut(found).data)


class ConversationMessages(HouseView, GenericAPIView[Message]):
    serializer_class = MessageOut
    queryset = Message.objects.none()
    filter_backends = ()

    @extend_schema(responses=MessageOut(many=True))
    def get(self, request: Request, uid: str) -> Response:
        """List what was said, oldest first."""
        found = Conversation.objects.visible_to(self.principal, "chat.read").filter(uid=uid).first()
        if found is None:
            raise ConversationNotFound(conversation=uid)
        rows = Message.objects.filter(conversation=found).select_related(*NAMED).order_by("id")
        rows = rows.with_hidden(self.principal, "version__prompt__")
        return self.get_paginated_response(MessageOut(self.paginate_queryset(rows), many=True).data)
