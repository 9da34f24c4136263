"""The inbox over REST: comments of users, who looks after them, labels, notes to colleagues, and cases made of them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import FeedbackOut
from feedback.api.views import may_read
from feedback.errors import FeedbackNotFound
from feedback.models import Care, Feedback, Label, Note
from feedback.querysets import BY_NEED, FeedbackQuerySet
from feedback.results import READ, of_prompt
from feedback.services import inbox
from promptlab.accounts.models import User
from promptlab.accounts.rest import idempotent
from promptlab.chat.transcripts import question_of
from promptlab.lib.errors import Invalid
from prompts.api.views import House
from prompts.errors import SuiteNotFound
from prompts.models import Suite

WIDE = ("message__content", "message__variables", "message__version__text", "message__version__messages")
STATES = ("open", "settled", "all")


class CareShape(serializers.Serializer[Any]):
    """Who looks after a comment (a user name; null: nobody), its labels, and whether it needs nobody any more."""

    assignee = serializers.CharField(max_length=150, allow_null=True)
    labels = serializers.ListField(child=serializers.CharField(max_length=inbox.LONGEST_LABEL))
    is_settled = serializers.BooleanField()


class CareOut(CareShape):
    id = serializers.UUIDField()


class NoteShape(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=inbox.LONGEST_NOTE)


class NoteOut(serializers.ModelSerializer[Note]):
    """What a colleague said about a comment."""

    author = serializers.CharField(source="author_label")

    class Meta:
        model = Note
        fields = ["id", "author", "text", "at"]


class InboxOut(FeedbackOut):
    """A comment of a user, and who looks after it."""

    assignee = serializers.SerializerMethodField()
    labels = serializers.SerializerMethodField()
    is_settled = serializers.SerializerMethodField()

    class Meta(FeedbackOut.Meta):
        fields = [*FeedbackOut.Meta.fields, "assignee", "labels", "is_settled"]

    def get_assignee(self, rating: Feedback) -> str | None:
        care = _care(rating)
        return care.assignee.username if care and care.assignee else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_labels(self, rating: Any) -> list[str]:
        return [one.name for one in rating.labels.all()]

    def get_is_settled(self, rating: Feedback) -> bool:
        care = _care(rating)
        return care is not None and care.settled_at is not None


class InboxCaseOut(serializers.Serializer[Any]):
    """The case of a test suite that was made of a comment."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    suite = serializers.CharField(source="suite.name")


class InboxDetailOut(InboxOut):
    """A comment with the question, the answer, and what colleagues made of it."""

    question = serializers.SerializerMethodField()
    answer = serializers.CharField(source="message.content")
    notes = NoteOut(many=True)
    cases = serializers.SerializerMethodField()

    class Meta(InboxOut.Meta):
        fields = [*InboxOut.Meta.fields, "question", "answer", "notes", "cases"]

    def get_question(self, rating: Feedback) -> str:
        return question_of(rating.message)

    @extend_schema_field(InboxCaseOut(many=True))
    def get_cases(self, rating: Any) -> Any:
        return InboxCaseOut([one.case for one in rating.cases.select_related("case__suite")], many=True).data


class InboxCaseIn(serializers.Serializer[Any]):
    suite = serializers.CharField(required=False, max_length=100, help_text="Short name; else the prompt's own one.")
    name = serializers.CharField(required=False, max_length=100, help_text="Of the case.")


class InboxQuery(serializers.Serializer[Any]):
    """What narrows the inbox."""

    state = serializers.ChoiceField(choices=STATES, default="open")
    assignee = serializers.CharField(default="", max_length=150, help_text="User name, or nobody.")
    label = serializers.CharField(default="", max_length=inbox.LONGEST_LABEL)
    prompt = serializers.CharField(default="", max_length=255, help_text="Short name or id.")
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    variant = serializers.CharField(default="", max_length=100)
    since = serializers.DateTimeField(required=False)


class OfInbox(House):
    """Views that find a comment by the id of its rating."""

    serializer_class = InboxOut
    filter_backends = ()
    queryset = Feedback.objects.none()

    def rows(self, capability: str) -> FeedbackQuerySet:
        return Feedback.objects.visible_to(self.principal, capability).in_words_for(self.principal)

    def comment(self, uid: str, capability: str = "prompt.read") -> Feedback:
        """Return a comment the caller sees. Raises FeedbackNotFound."""
        rows = self.rows(capability).select_related(*NAMED)
        found: Feedback | None = rows.filter(uid=uuid.UUID(uid)).first()
        if found is None:
            raise FeedbackNotFound(feedback=uid)
        return found


NAMED = (
    "message__version__prompt", "message__environment", "message__experiment", "message__served_variant",
    "care__assignee",
)  # fmt: skip


class InboxList(OfInbox):
    @extend_schema(operation_id="inbox_list", parameters=[InboxQuery], responses=InboxOut(many=True))
    def get(self, request: Request) -> Response:
        """List what users said in words and nobody settled, thumbs-down first; `state` says otherwise."""
        may_read(self.principal)
        asked = InboxQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = _narrowed(self.rows(READ), **asked.validated_data).select_related(*NAMED).defer(*WIDE)
        return self.page(rows.prefetch_related("labels").order_by(*BY_NEED), InboxOut)


class InboxItem(OfInbox):
    @extend_schema(operation_id="inbox_retrieve", responses=InboxDetailOut)
    def get(self, request: Request, uid: str) -> Response:
        """Show a comment with the question, the answer, and what colleagues made of it."""
        may_read(self.principal)
        return Response(InboxDetailOut(self.comment(uid, READ)).data)

    @extend_schema(operation_id="inbox_partial_update", request=CareShape(partial=True), responses=CareOut)
    def patch(self, request: Request, uid: str) -> Response:
        """Say who looks after a comment, label it in place of its labels, settle it or open it again."""
        rating = self.comment(uid)
        said = self.checked(CareShape, partial=True)
        with transaction.atomic():
            if "assignee" in said:
                inbox.assign(self.principal, rating, _person(rating, said["assignee"]))
            if "labels" in said:
                inbox.label(self.principal, rating, said["labels"])
            if "is_settled" in said:
                (inbox.settle if said["is_settled"] else inbox.reopen)(self.principal, rating)
        return Response(CareOut(_cared_for(rating)).data)


class InboxNotes(OfInbox):
    serializer_class = NoteOut

    @extend_schema(operation_id="inbox_notes_create", request=NoteShape, responses={201: NoteOut})
    @idempotent
    def post(self, request: Request, uid: str) -> Response:
        """Say something to colleagues about a comment. Who sent it does not read that."""
        rating = self.comment(uid)
        note = inbox.add_note(self.principal, rating, self.checked(NoteShape)["text"])
        return Response(NoteOut(note).data, status=status.HTTP_201_CREATED)


class InboxCase(OfInbox):
    serializer_class = InboxCaseOut

    @extend_schema(operation_id="inbox_case_create", request=InboxCaseIn, responses={201: InboxCaseOut})
    @idempotent
    def post(self, request: Request, uid: str) -> Response:
        """Make a case of a test suite of what was asked, with the ideal answer, or the answer if it was liked."""
        rating = self.comment(uid)
        said = self.checked(InboxCaseIn)
        suite = self._suite(rating, said["suite"]) if "suite" in said else None
        case = inbox.save_as_case(self.principal, rating, suite, name=said.get("name", ""))
        return Response(InboxCaseOut(case).data, status=status.HTTP_201_CREATED)

    def _suite(self, rating: Feedback, name: str) -> Suite:
        version = rating.message.version
        rows = Suite.objects.visible_to(self.principal)
        found: Suite | None = rows.for_prompt(version.prompt).filter(name=name).first() if version else None
        if found is None:
            raise SuiteNotFound
        return found


def _narrowed(
    rows: FeedbackQuerySet,
    *,
    state: str,
    assignee: str,
    label: str,
    prompt: str,
    variant: str,
    version: int | None = None,
    since: datetime | None = None,
) -> FeedbackQuerySet:
    if state != "all":
        rows = rows.settled(state == "settled")
    if assignee:
        nobody = {"care__assignee": None} if assignee == "nobody" else {"care__assignee__username": assignee}
        rows = rows.filter(**nobody)
    if prompt:
        rows = rows.filter(of_prompt(prompt, "message__version__prompt__"))
    named = {
        "labels__name": label.lower(),
        "message__served_variant__key": variant,
        "message__version__number": version,
    }
    rows = rows.filter(**{name: value for name, value in named.items() if value})
    return rows.filter(created_at__gte=since) if since else rows


def _person(rating: Feedback, name: str | None) -> User | None:
    if name is None:
        return None
    found = User.objects.filter(username=name, memberships__team=rating.team_id, is_active=True).first()
    if found is None:
        raise Invalid.field("assignee", "Choose somebody of the team.")
    return found


def _care(rating: Any) -> Care | None:
    return getattr(rating, "care", None)


def _cared_for(rating: Feedback) -> dict[str, Any]:
    """Return how a comment stands now."""
    care = Care.objects.select_related("assignee").filter(feedback=rating).first()
    return {
        "id": rating.uid,
        "assignee": care.assignee.username if care and care.assignee else None,
        "labels": list(Label.objects.filter(feedback=rating).values_list("name", flat=True)),
        "is_settled": care is not None and care.settled_at is not None,
    }
