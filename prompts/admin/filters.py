"""What the prompt list can be narrowed by."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import acting
from promptlab.lib.formats import fmt_name
from prompts.models import Collection, Environment, Tag

NOWHERE = "-"


class CollectionFilter(admin.SimpleListFilter):
    title = _("Collection")
    parameter_name = "collection"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = Collection.objects.visible_to(acting(request)).active().values_list("pk", "name")
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        return queryset.filter(collection=int(chosen)) if chosen.isdecimal() else queryset


class LiveFilter(admin.SimpleListFilter):
    title = _("Live in")
    parameter_name = "live"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        names = Environment.objects.visible_to(acting(request)).values_list("name", flat=True)
        return [*((name, fmt_name(name)) for name in dict.fromkeys(names)), (NOWHERE, _("Nowhere yet"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        if self.value() == NOWHERE:
            return queryset.exclude(deployments__version__isnull=False)
        return queryset.live_in(self.value()) if self.value() else queryset


class TagFilter(admin.SimpleListFilter):
    title = _("Tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        names = Tag.objects.visible_to(acting(request)).values_list("name", flat=True)
        return [(name, f"#{name}") for name in dict.fromkeys(names)]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        return queryset.tagged([self.value()]) if self.value() else queryset


class FavouriteFilter(admin.SimpleListFilter):
    title = _("Favourites")
    parameter_name = "favourite"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Mine"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        return queryset.favourites_of(acting(request)) if self.value() else queryset


class UnusedFilter(admin.SimpleListFilter):
    title = _("Use")
    parameter_name = "unused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("30", _("Unused for 30 days")), ("90", _("Unused for 90 days"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        return queryset.unused_for(int(self.value() or "")) if self.value() in ("30", "90") else queryset


class ArchivedFilter(admin.SimpleListFilter):
    """Archived things are out of the way unless asked for."""

    title = _("Archived")
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Only archived")), ("all", _("Included"))]

    def choices(self, changelist: Any) -> Any:
        """Name the usual choice for what it does."""
        found = list(super().choices(changelist))
        found[0]["display"] = _("Left out")
        return found

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(archived_at__isnull=False)
        return queryset if self.value() == "all" else queryset.active()
