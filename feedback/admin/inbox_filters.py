"""What narrows the inbox: state, who, labels, prompt, text shown, time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from feedback.models import Comment, Label
from promptlab.accounts.modeladmin import acting
from prompts.models import Prompt

MOST_CHOICES = 100
STATES = {"settled": _("Settled"), "all": _("Open and settled")}


class StateFilter(admin.SimpleListFilter):
    """Without a choice only what is open is shown."""

    title = _("State")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(STATES.items())

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("Open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.settled(self.value() == "settled")


class WhoFilter(admin.SimpleListFilter):
    title = _("Looked after by")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("me", _("Me")), ("nobody", _("Nobody"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "me":
            return queryset.filter(care__assignee=acting(request).user_id)
        return queryset.filter(care__assignee=None) if self.value() == "nobody" else queryset


class _Named(admin.SimpleListFilter):
    """One of what there is; nothing to choose from, nothing shown."""

    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{self.column: chosen}) if chosen else queryset


class LabelFilter(_Named):
    title = _("Label")
    parameter_name = "label"
    column = "labels__name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        mine = Label.objects.filter(feedback__team__in=acting(request).teams_with(model_admin.view_capability))
        names = mine.order_by("name").values_list("name", flat=True).distinct()
        return [(name, name) for name in names[:MOST_CHOICES]]


class PromptFilter(_Named):
    title = _("Prompt")
    parameter_name = "prompt"
    column = "message__version__prompt__name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        said = Comment.objects.with_words().filter(message__version__prompt=OuterRef("pk"))
        rows = Prompt.objects.visible_to(acting(request), model_admin.view_capability).filter(Exists(said))
        return list(rows.order_by("title").values_list("name", "title")[:MOST_CHOICES])


class VersionFilter(admin.SimpleListFilter):
    """The versions of the chosen prompt, and the texts of its experiments."""

    title = _("Text shown")
    parameter_name = "shown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        name = request.GET.get("prompt", "")
        if not name:
            return []
        rows = model_admin.visible(request).with_words().filter(message__version__prompt__name=name).order_by()
        versions = rows.values_list("message__version__number", flat=True).distinct()
        shown = rows.filter(message__served_variant__isnull=False).values_list(
            "message__served_variant_id", "message__served_variant__name", "message__experiment__title"
        )
        texts = [(f"t{pk}", f"{title} ({experiment})") for pk, title, experiment in shown.distinct()[:MOST_CHOICES]]
        return [*((f"v{number}", f"v{number}") for number in sorted(versions)[:MOST_CHOICES]), *texts]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        if not chosen[1:].isdecimal() or len(chosen) > 18:
            return queryset
        column = "message__version__number" if chosen[0] == "v" else "message__served_variant"
        return queryset.filter(**{column: int(chosen[1:])})


class TimeFilter(admin.SimpleListFilter):
    title = _("Given")
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Today and yesterday")), ("7", _("7 days")), ("30", _("30 days")), ("90", _("90 days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        days = {"1": 1, "7": 7, "30": 30, "90": 90}.get(self.value() or "")
        return queryset if days is None else queryset.filter(created_at__gte=timezone.now() - timedelta(days=days))
