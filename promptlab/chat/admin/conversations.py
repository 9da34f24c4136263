"""What end users and models said to each other, to read. Floors above add what they know to `answer_facts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link
from promptlab.chat.models import Conversation, Message
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_money, fmt_ms
from promptlab.templatetags.promptlab import when
from prompts.admin.deployment import EnvironmentFilter

State = Message.State
Fact = tuple[Any, Any]
"""(what it is, finished text)"""
KINDS = {
    State.STREAMING: "info",
    State.COMPLETED: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "warn",
    State.ABANDONED: "bad",
}
MOST_MESSAGES = 500

answer_facts: list[Callable[[Sequence[Message]], Mapping[int, list[Fact]]]] = []
"""Functions that give more facts per answer's id. Feedback lives above chat and adds its ratings here."""


class SpokenInFilter(EnvironmentFilter):
    """Conversations keep the name of their environment, not the row."""

    path = "environment"


class TroubleFilter(admin.SimpleListFilter):
    """Conversations in which an answer did not come, or not whole."""

    title = _("Answers")
    parameter_name = "answers"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("failed", _("Failed")), ("broken", _("Cancelled or abandoned"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        states = {"failed": [State.FAILED], "broken": [State.CANCELLED, State.ABANDONED]}.get(self.value() or "")
        if states is None:
            return queryset
        return queryset.filter(pk__in=Message.objects.filter(state__in=states).values("conversation_id"))


@admin.register(Conversation)
class ConversationAdmin(HouseAdmin):
    view_capability = "chat.read"
    list_title = _("Conversations")
    empty_title = _("No conversations yet")
    empty_text = _("When an app asks a model through PromptLab, what was said is listed here.")
    list_display = ["question", "about", "where", "unit_id", "answers", "began"]
    list_display_links = None
    list_filter = [SpokenInFilter, TroubleFilter, TeamFilter]
    search_fields = ["prompt__title", "prompt__name", "unit_id"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        first = Message.objects.filter(conversation=OuterRef("pk"), role=Message.Role.USER).order_by("pk")
        return (
            self.visible(request)
            .with_hidden(acting(request), "prompt__")
            .select_related("prompt", "key")
            .annotate(
                first_question=Subquery(first.values("content")[:1]),
                answer_count=Count(
                    "messages", filter=Q(messages__role=Message.Role.ASSISTANT, messages__is_sent=False)
                ),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by the prompt and the end user; a prompt that is private to others is not found by its name."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        return found.filter(Q(is_hidden=False) | Q(unit_id__icontains=search_term)), may_repeat

    @admin.display(description=_("First question"))
    def question(self, conversation: Any) -> SafeString:
        text = Truncator(conversation.first_question or "").chars(80) or _("Nothing was asked")
        return link(self.url("change", conversation.pk), text)

    @admin.display(description=_("Prompt"))
    def about(self, conversation: Any) -> str:
        if conversation.is_hidden:
            return gettext("A private prompt")
        return conversation.prompt.title if conversation.prompt else gettext("Plain chat")

    @admin.display(description=_("Environment"))
    def where(self, conversation: Conversation) -> str:
        return conversation.environment.capitalize() or "–"

    @admin.display(description=_("Answers"))
    def answers(self, conversation: Any) -> int:
        return conversation.answer_count

    @admin.display(description=_("Started"))
    def began(self, conversation: Conversation) -> str:
        return when(conversation.created_at)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show its history; the log names the prompt, so not where that is private to others."""
        if self.found(request, object_id).is_hidden:
            raise NotFound("There is nothing at this address.")
        return super().history_view(request, object_id, extra_context)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what was said, with what each answer took."""
        messages = list(
            Message.objects.filter(conversation=thing)
            .with_hidden(acting(request), "version__prompt__")
            .select_related("version", "experiment", "assigned_variant", "served_variant", "environment")
            .defer("version__text", "version__messages")
            .order_by("pk")[:MOST_MESSAGES]
        )
        answers = [message for message in messages if message.is_answer]
        more = [facts(answers) for facts in answer_facts]
        facts = {one.pk: _facts(one) + [fact for found in more for fact in found.get(one.pk, [])] for one in answers}
        return self.page(
            request,
            "admin/chat/transcript.html",
            title=gettext("%(about)s, %(when)s") % {"about": self.about(thing), "when": fmt_datetime(thing.created_at)},
            conversation=thing,
            prompt_url=reverse("admin:prompts_prompt_change", args=[thing.prompt_id])
            if thing.prompt_id and not thing.is_hidden
            else "",
            where=self.where(thing),
            asked_by=thing.key.name if thing.key else "",
            turns=[_turn(message, facts.get(message.pk, [])) for message in messages],
        )


def _turn(message: Message, facts: list[Fact]) -> dict[str, Any]:
    is_answer = message.is_answer
    return {
        "id": f"message-{message.pk}",
        "is_answer": is_answer,
        "who": message.get_role_display(),
        "text": message.content,
        "at": message.created_at,
        "state": badge(message.get_state_display(), KINDS[State(message.state)]) if is_answer else "",
        "facts": facts,
    }


def _facts(answer: Any) -> list[Fact]:
    """Return what an answer was made with and what it took. What is not known says so; it is never 0."""
    facts: list[Fact] = []
    if answer.version is not None and not answer.is_hidden:
        url = reverse("admin:prompts_version_change", args=[answer.version_id])
        facts.append((_("Version"), link(url, f"v{answer.version.number}")))
    if answer.served_variant is not None and answer.experiment is not None and not answer.is_hidden:
        url = reverse("admin:experiments_experiment_change", args=[answer.experiment_id])
        facts.append((_("Experiment"), link(url, answer.experiment.title)))
        facts.append((_("Text shown"), answer.served_variant))
        if answer.assigned_variant_id != answer.served_variant_id:
            facts.append((_("Text assigned"), answer.assigned_variant))
    facts.append((_("Model"), answer.model or "–"))
    facts.append((_("Tokens in and out"), _tokens(answer)))
    facts.append((_("Cost"), fmt_money(answer.cost_usd) if answer.cost_usd is not None else gettext("unknown")))
    if answer.latency_ms is not None:
        facts.append((_("Wait"), fmt_ms(answer.latency_ms)))
    if answer.first_token_ms is not None:
        facts.append((_("First word after"), fmt_ms(answer.first_token_ms)))
    if answer.error_code:
        facts.append((_("Error"), answer.error_code))
    return facts


def _tokens(answer: Message) -> str:
    if answer.input_tokens is None and answer.output_tokens is None:
        return gettext("unknown")
    shown = f"{fmt_int(answer.input_tokens)} → {fmt_int(answer.output_tokens)}"
    return gettext("about %(tokens)s") % {"tokens": shown} if answer.is_usage_estimated else shown
