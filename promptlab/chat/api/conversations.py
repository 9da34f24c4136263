"""Conversations over REST: list, name, put away, and how long they are kept."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.models import Team
from promptlab.accounts.rest import HouseView
from promptlab.chat.errors import ConversationNotFound
from promptlab.chat.models import Conversation
from promptlab.chat.services import conversations
from promptlab.lib.pagination import Cursors


class ConversationOut(serializers.ModelSerializer[Conversation]):
    """One conversation. `title`: the one it was given, else its first question, shortened.

    `prompt` is null where there is none, and where it is private to others.
    """

    conversation_id = serializers.UUIDField(source="uid")
    title = serializers.CharField(source="shown_title")
    prompt = serializers.SerializerMethodField()
    answers = serializers.IntegerField(source="answer_count")

    class Meta:
        model = Conversation
        fields = [
            "conversation_id", "title", "prompt", "environment", "unit_id", "session", "answers", "created_at",
            "archived_at",
        ]  # fmt: skip

    def get_prompt(self, conversation: Any) -> str | None:
        return conversation.prompt.name if conversation.prompt and not conversation.is_hidden else None


class NarrowedBy(serializers.Serializer[Any]):
    """What lists and exports of conversations can be narrowed by."""

    prompt = serializers.CharField(required=False, max_length=200)
    environment = serializers.CharField(required=False, max_length=36)
    unit_id = serializers.CharField(required=False, max_length=200)
    session = serializers.CharField(required=False, max_length=200)
    archived = serializers.BooleanField(required=False, default=False, help_text="True: those that were put away.")
    since = serializers.DateTimeField(required=False, help_text="Begun at this moment or later.")


class TitleIn(serializers.Serializer[Any]):
    title = serializers.CharField(allow_blank=True, max_length=conversations.MAX_TITLE)


class RetentionIn(serializers.Serializer[Any]):
    """`days`: null keeps everything."""

    days = serializers.IntegerField(allow_null=True, min_value=1, max_value=conversations.MOST_DAYS)
    team_id = serializers.IntegerField(required=False, write_only=True, min_value=1, max_value=2**63 - 1)


class RetentionOut(serializers.Serializer[Any]):
    days = serializers.IntegerField(allow_null=True)


class ConversationList(HouseView, GenericAPIView[Conversation]):
    serializer_class = ConversationOut
    queryset = Conversation.objects.none()
    filter_backends = ()
    pagination_class = Cursors

    @extend_schema(parameters=[NarrowedBy], responses=ConversationOut(many=True))
    def get(self, request: Request) -> Response:
        """List conversations, newest first; those that were put away only when asked for."""
        asked = NarrowedBy(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = Conversation.objects.narrowed_for(self.principal, **asked.validated_data)
        found = self.paginate_queryset(rows.with_titles())
        return self.get_paginated_response(ConversationOut(found, many=True).data)


class OneConversation(HouseView):
    """The base of views of one conversation."""

    def conversation(self, uid: str, capability: str) -> Conversation:
        """Return the conversation. Raises ConversationNotFound; Forbidden when it may only be looked at."""
        rows = Conversation.objects.visible_to(self.principal, capability)
        found: Conversation | None = rows.filter(uid=uid).first()
        if found is not None:
            return found
        if Conversation.objects.visible_to(self.principal, "chat.read").filter(uid=uid).exists():
            self.principal.team_for(capability)
        raise ConversationNotFound(conversation=uid)

    def shown(self, conversation: Conversation) -> Response:
        """Return the conversation as it is now."""
        rows = Conversation.objects.with_hidden(self.principal, "prompt__").with_titles()
        return Response(ConversationOut(rows.get(pk=conversation.pk)).data)


class ConversationDetail(OneConversation):
    @extend_schema(responses=ConversationOut)
    def get(self, request: Request, uid: str) -> Response:
        """Return one conversation; its messages are beside it."""
        return self.shown(self.conversation(uid, "chat.read"))

    @extend_schema(request=TitleIn, responses=ConversationOut)
    def patch(self, request: Request, uid: str) -> Response:
        """Name a conversation; an empty title shows its first question again."""
        found = self.conversation(uid, "chat.write")
        body = TitleIn(data=request.data)
        body.is_valid(raise_exception=True)
        return self.shown(conversations.rename_conversation(self.principal, found, body.validated_data["title"]))


class Archive(OneConversation):
    @extend_schema(request=None, responses=ConversationOut)
    def post(self, request: Request, uid: str) -> Response:
        """Put a conversation away: lists leave it out. Again changes nothing."""
        found = self.conversation(uid, "chat.write")
        return self.shown(conversations.archive_conversation(self.principal, found))


class Unarchive(OneConversation):
    @extend_schema(request=None, responses=ConversationOut)
    def post(self, request: Request, uid: str) -> Response:
        """Bring a conversation back. Again changes nothing."""
        found = self.conversation(uid, "chat.write")
        return self.shown(conversations.unarchive_conversation(self.principal, found))


class ConversationRetention(HouseView):
    @extend_schema(responses=RetentionOut)
    def get(self, request: Request) -> Response:
        """Return for how many days the team keeps what was said; null: for ever."""
        return Response({"days": conversations.retention_of(self.principal.team_for("team.admin"))})

    @extend_schema(request=RetentionIn, responses=RetentionOut)
    def put(self, request: Request) -> Response:
        """Say for how many days the team keeps what was said. Administrators."""
        body = RetentionIn(data=request.data)
        body.is_valid(raise_exception=True)
        team_id = self.principal.team_for("team.admin", body.validated_data.get("team_id"))
        team = Team.objects.get(pk=team_id)
        return Response({"days": conversations.set_retention(self.principal, team, body.validated_data["days"])})
