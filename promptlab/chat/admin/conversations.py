"""What end users and models said to each other, to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import TeamFilter, acting, link
from promptlab.chat.admin.examples import ExamplePages
from promptlab.chat.admin.side import SidePages
from promptlab.chat.admin.trying import TryPages
from promptlab.chat.admin.turns import facts_of, turn_shown
from promptlab.chat.models import Conversation, Message
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_datetime, fmt_name
from promptlab.templatetags.promptlab import when
from prompts.admin.deployment import EnvironmentFilter

State = Message.State
MOST_MESSAGES = 500


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
        of_kind = {"failed": [State.FAILED], "broken": [State.CANCELLED, State.ABANDONED]}
        states = of_kind.get(self.value() or "")
        if states is None:
            return queryset
        return queryset.filter(pk__in=Message.objects.filter(state__in=states).values("conversation_id"))


@admin.register(Conversation)
class ConversationAdmin(TryPages, SidePages, ExamplePages):
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
            .select_related("prompt", "key", "author")
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

    def own_urls(self) -> list[Any]:
        return [*self.try_urls(), *self.side_urls(), *self.example_urls()]

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
        return fmt_name(conversation.environment) or "–"

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
        facts = facts_of([message for message in messages if message.is_answer])
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
            tried_by=thing.author or "",
            turns=[turn_shown(message, facts.get(message.pk, [])) for message in messages],
        )
