"""The inbox: what users say in words, thumbs-down first, and who looks after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.admin.inbox_filters import LabelFilter, PromptFilter, StateFilter, TimeFilter, VersionFilter, WhoFilter
from feedback.admin.ratings import thumb, transcript_of
from feedback.models import Care, Comment
from feedback.querysets import BY_NEED
from feedback.services import inbox
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, link
from promptlab.accounts.models import User
from promptlab.chat.transcripts import question_of
from promptlab.lib.errors import Invalid
from promptlab.templatetags.promptlab import when
from prompts.models import Suite, Version

TEMPLATE = "admin/feedback/comment.html"


@admin.register(Comment)
class CommentAdmin(HouseAdmin):
    view_capability = "feedback.read"
    list_title = _("Comments")
    empty_title = _("Nothing waits here")
    empty_text = _("Ratings with a comment or an ideal answer are listed here until somebody settles them.")
    list_display = ["words", "rated", "prompt", "variant", "who", "label_names", "given"]
    list_display_links = None
    list_filter = [StateFilter, WhoFilter, PromptFilter, VersionFilter, LabelFilter, TimeFilter, TeamFilter]
    search_fields = ["comment", "text"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the comments on prompts that are not private to others, with what the list shows of each."""
        texts = ["message__version__text", "message__version__messages", "message__variables"]
        rows = self.visible(request).in_words_for(acting(request))
        named = rows.select_related("message__version__prompt", "message__served_variant", "care__assignee")
        return named.prefetch_related("labels").defer(*texts).order_by(*BY_NEED)

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        return BY_NEED

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/act/", self.act_page, "act")]

    @admin.display(description=_("Comment"))
    def words(self, rating: Comment) -> SafeString:
        said = Truncator(rating.comment or rating.text).chars(160)
        return link(self.url("change", rating.pk), said)

    @admin.display(description=_("Rating"))
    def rated(self, rating: Comment) -> SafeString:
        return thumb(rating)

    @admin.display(description=_("Prompt"))
    def prompt(self, rating: Comment) -> str:
        version = rating.message.version
        return f"{version.prompt.title} v{version.number}" if version else gettext("Plain chat")

    @admin.display(description=_("Text shown"))
    def variant(self, rating: Comment) -> str:
        return str(rating.message.served_variant or "–")

    @admin.display(description=_("Looked after by"))
    def who(self, rating: Comment) -> str:
        return str(_care(rating).assignee or "–")

    @admin.display(description=_("Labels"))
    def label_names(self, rating: Any) -> str:
        return ", ".join(one.name for one in rating.labels.all()) or "–"

    @admin.display(description=_("Given"))
    def given(self, rating: Comment) -> str:
        return when(rating.created_at)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a comment with the question and the answer, and what can be done about it."""
        return self._shown(request, thing, HouseForm())

    def _shown(self, request: HttpRequest, thing: Any, form: HouseForm) -> HttpResponse:
        actor = acting(request)
        version = thing.message.version
        may_write = version is not None and actor.may("prompt.write", version.prompt.team_id)
        following = self.get_queryset(request).filter(care__settled_at=None).exclude(pk=thing.pk).first()
        return self.page(
            request,
            TEMPLATE,
            title=gettext("Comment on %(prompt)s") % {"prompt": self.prompt(thing)},
            rating=thing,
            thumb=thumb(thing),
            care=_care(thing),
            variant=thing.message.served_variant,
            question=question_of(thing.message),
            labels=", ".join(one.name for one in thing.labels.all()),
            notes=thing.notes.all(),
            cases=[one.case for one in thing.cases.select_related("case__suite")],
            people=User.objects.filter(memberships__team=thing.team_id, is_active=True).distinct().order_by("username"),
            suites=Suite.objects.visible_to(actor).for_prompt(version.prompt) if version and may_write else [],
            may_care=actor.may(inbox.CARE, thing.team_id),
            may_save=may_write and thing.message.purged_at is None,
            act_url=self.url("act", thing.pk),
            next_url=self.url("change", following.pk) if following else "",
            transcript_url=transcript_of(thing),
            text_url=reverse("admin:prompts_version_change", args=[version.pk]) if version else "",
            try_url=_try_url(version) if may_write else "",
            form=form,
        )

    def act_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Do what was asked of a comment, and show it again."""
        rating = self.found(request, pk)
        if request.method != "POST":
            return self.thing_page(request, rating)
        actor = self.demand(request, inbox.CARE, rating)
        form = HouseForm(request.POST)

        def act(_filled: dict[str, Any]) -> HttpResponse:
            asked = ACTS.get(request.POST.get("act", ""))
            if asked is None:
                raise Invalid(gettext("Choose what to do."))
            sentence = asked(actor, rating, request)
            return self.said(request, sentence, self.url("change", rating.pk))

        return self.submitted(request, form, act) or self._shown(request, rating, form)


Act = Callable[[Principal, Comment, HttpRequest], Any]


def _assign(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    chosen = request.POST.get("assignee", "")
    person = User.objects.filter(pk=int(chosen)).first() if chosen.isdecimal() and len(chosen) < 19 else None
    inbox.assign(actor, rating, person)
    return gettext("%(who)s looks after it.") % {"who": person} if person else _("Nobody looks after it.")


def _label(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    inbox.label(actor, rating, request.POST.get("labels", "").split(","))
    return _("The labels are saved.")


def _settle(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    inbox.settle(actor, rating)
    return _("Settled.")


def _reopen(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    inbox.reopen(actor, rating)
    return _("Open again.")


def _note(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    inbox.add_note(actor, rating, request.POST.get("note", ""))
    return _("The note is saved.")


def _save_case(actor: Principal, rating: Comment, request: HttpRequest) -> Any:
    chosen = request.POST.get("suite", "")
    suite = None
    if chosen.isdecimal() and len(chosen) < 19 and rating.message.version:
        suites = Suite.objects.visible_to(actor).for_prompt(rating.message.version.prompt)
        suite = suites.filter(pk=int(chosen)).first()
    case = inbox.save_as_case(actor, rating, suite)
    return gettext("%(case)s is in the test suite %(suite)s.") % {"case": case.name, "suite": case.suite.name}


ACTS: dict[str, Act] = {
    "assign": _assign,
    "label": _label,
    "settle": _settle,
    "reopen": _reopen,
    "note": _note,
    "case": _save_case,
}


def _care(rating: Any) -> Care:
    """Return who looks after a comment; a bare row for one that nobody did anything about."""
    known: Care = getattr(rating, "care", None) or Care(feedback=rating)
    return known


def _try_url(version: Version) -> str:
    """Return the address where the version is tried."""
    return f"{reverse('admin:chat_conversation_try')}?prompt={version.prompt_id}&text={version.number}"
