"""Ratings, to read, beside what they rate. Adds them to the transcripts, too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from feedback.admin.usage import UsagePages
from feedback.models import Feedback, FeedbackChange
from feedback.services.ingest import MAX_COMMENT
from feedback.services.tried import rate_tried
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, TeamFilter, acting, badge, link
from promptlab.chat.admin.trying import OwnRating, own_ratings
from promptlab.chat.admin.turns import Fact, answer_facts
from promptlab.chat.models import Message
from promptlab.lib.errors import NotFound
from promptlab.templatetags.promptlab import when

A_MOMENT = timedelta(seconds=1)
"""Both times of a row are written one after the other: only a later change is one."""


def thumb(rating: Feedback) -> SafeString:
    """Return the rating in words; the colour only repeats them."""
    said = rating.said
    if said is None:
        return badge(_("Taken back"))
    if rating.value is not None:
        return badge(_("Thumbs up"), "ok") if rating.value > 0 else badge(_("Thumbs down"), "bad")
    told = Truncator(said).chars(40) if isinstance(said, str) else f"{said:g}"
    return badge(f"{rating.metric}: {told}")


def ratings_of(answers: Sequence[Message]) -> Mapping[int, list[Fact]]:
    """Return what was said of each answer: one query."""
    found: dict[int, list[Fact]] = defaultdict(list)
    for rating in Feedback.objects.filter(message__in=answers).order_by("pk"):
        said = format_html("{} “{}”", thumb(rating), rating.comment) if rating.comment else thumb(rating)
        found[rating.message_id].append((_("Rating"), said))
    return found


answer_facts.append(ratings_of)


def own_ratings_of(actor: Principal, answers: Sequence[Message]) -> Mapping[int, OwnRating]:
    """Return what a person thinks of answers they tried, and where they say so: one query."""
    said = {one.message_id: one for one in Feedback.objects.filter(message__in=answers, rater=actor.label)}
    return {
        one.pk: OwnRating(
            reverse("admin:feedback_feedback_tried", args=[one.pk]),
            said[one.pk].value if one.pk in said else None,
            said[one.pk].comment if one.pk in said else "",
        )
        for one in answers
    }


own_ratings.append(own_ratings_of)


class TriedForm(HouseForm):
    """What a person thinks of an answer they tried."""

    value = forms.TypedChoiceField(
        choices=[("1", ""), ("-1", ""), ("", "")], coerce=int, empty_value=None, required=False
    )
    comment = forms.CharField(required=False, max_length=MAX_COMMENT)


class ThumbFilter(admin.SimpleListFilter):
    title = _("Rating")
    parameter_name = "thumb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("up", _("Thumbs up")), ("down", _("Thumbs down"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = {"up": 1, "down": -1}.get(self.value() or "")
        return queryset if value is None else queryset.filter(value=value)


class CommentFilter(admin.SimpleListFilter):
    title = _("Comment")
    parameter_name = "comment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("With a comment"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(comment="") if self.value() == "yes" else queryset


@admin.register(Feedback)
class FeedbackAdmin(UsagePages):
    view_capability = "feedback.read"
    list_title = _("Ratings")
    empty_title = _("No ratings yet")
    empty_text = _("When an app sends what users think of an answer, it is listed here.")
    list_display = ["rated", "comment_text", "answer", "prompt", "variant", "given"]
    list_display_links = None
    list_filter = [ThumbFilter, CommentFilter, TeamFilter]
    search_fields = ["comment", "message__conversation__prompt__title"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        names = ["message__conversation__prompt", "message__version", "message__served_variant", "message__experiment"]
        texts = ["message__version__text", "message__version__messages", "message__variables"]
        about = ("message__conversation__prompt__", "message__version__prompt__")
        return self.visible(request).with_hidden(acting(request), *about).select_related(*names).defer(*texts)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by comment and prompt; a prompt that is private to others is not found by its name."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        return found.filter(Q(is_hidden=False) | Q(comment__icontains=search_term)), may_repeat

    @admin.display(description=_("Rating"))
    def rated(self, rating: Feedback) -> SafeString:
        return link(self.url("change", rating.pk), thumb(rating))

    @admin.display(description=_("Comment"))
    def comment_text(self, rating: Feedback) -> str:
        return Truncator(rating.comment).chars(120) or "–"

    @admin.display(description=_("Of what"))
    def answer(self, rating: Feedback) -> SafeString:
        text = Truncator(rating.message.content).chars(80) or gettext("An empty answer")
        return link(transcript_of(rating), text)

    @admin.display(description=_("Prompt"))
    def prompt(self, rating: Any) -> str:
        if rating.is_hidden:
            return gettext("A private prompt")
        about = rating.message.conversation.prompt
        version = rating.message.version
        title = about.title if about else gettext("Plain chat")
        return f"{title} v{version.number}" if version else title

    @admin.display(description=_("Text shown"))
    def variant(self, rating: Any) -> str:
        return "–" if rating.is_hidden else str(rating.message.served_variant or "–")

    @admin.display(description=_("Given"))
    def given(self, rating: Feedback) -> str:
        return when(rating.created_at)

    def own_urls(self) -> list[Any]:
        usage = self.own("usage/<int:pk>/", self.usage_page, "usage")
        return [usage, self.own("tried/<int:pk>/", self.tried_page, "tried")]

    def tried_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Keep what a person thinks of an answer in a talk of their own, and go back to it."""
        actor = acting(request)
        found = Message.objects.answers().select_related("conversation").filter(pk=pk)
        answer = found.filter(conversation__author_id=actor.user_id).first()
        if answer is None:
            raise NotFound("There is nothing at this address.")
        if request.method == "POST":
            form = TriedForm(request.POST)
            if form.is_valid():
                value = form.cleaned_data["value"]
                rate_tried(actor, answer, value, comment=form.cleaned_data["comment"] if value else "")
                messages.success(request, gettext("Your rating is kept.") if value else gettext("It is taken back."))
            for said in form.errors.values():
                messages.error(request, said[0])
        talk = reverse("admin:chat_conversation_talk", args=[answer.conversation_id])
        return HttpResponseRedirect(f"{talk}#message-{answer.pk}")

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a rating with the question and the answer it is about."""
        question = (
            Message.objects.filter(
                conversation_id=thing.message.conversation_id, role=Message.Role.USER, pk__lt=thing.message_id
            )
            .order_by("-pk")
            .first()
        )
        facts = [
            (_("Rating"), thumb(thing)),
            (_("Comment"), thing.comment or "–"),
            (_("Prompt"), self.prompt(thing)),
            (_("Text shown"), self.variant(thing)),
            (_("Question"), question.content if question else "–"),
            (_("Answer"), thing.message.content or "–"),
            (pgettext("rating", "From"), thing.rater or gettext("Nobody named")),
            (_("Given"), when(thing.created_at)),
        ]
        facts += [(_("Said before"), _before(change)) for change in thing.changes.all()]
        if thing.updated_at - thing.created_at > A_MOMENT:
            facts.append((_("Changed"), when(thing.updated_at)))
        actions = [{"label": _("Go to the conversation"), "url": transcript_of(thing), "kind": ""}]
        title = gettext("Rating of %(prompt)s") % {"prompt": self.prompt(thing)}
        return self.page(request, "admin/accounts/facts.html", title=title, facts=facts, actions=actions)


def _before(change: FeedbackChange) -> SafeString:
    said = thumb(Feedback(value=change.value, score=change.score, text=change.text))
    return format_html("{} {} {}", said, change.comment, when(change.said_at))


def transcript_of(rating: Feedback) -> str:
    """Return the address of the rated answer in its conversation."""
    url = reverse("admin:chat_conversation_change", args=[rating.message.conversation_id])
    return f"{url}#message-{rating.message_id}"
