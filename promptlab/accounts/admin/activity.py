"""The activity log: read-only for everybody, sentences first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, link
from promptlab.accounts.models import User
from promptlab.audit.admin import KINDS, changes, sentence
from promptlab.audit.models import AuditEntry
from promptlab.templatetags.promptlab import when


class KindFilter(admin.SimpleListFilter):
    title = _("Kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, label) for kind, (label, _verbs) in KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = KINDS.get(self.value() or "")
        if chosen is None:
            return queryset
        wanted = Q()
        for beginning in chosen[1]:
            wanted |= Q(verb__startswith=beginning)
        return queryset.filter(wanted)


class PersonFilter(admin.SimpleListFilter):
    title = _("Who")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        teams = acting(request).teams_with("team.admin")
        people = User.objects.filter(memberships__team__in=teams).distinct().order_by("first_name", "username")
        return [*((str(person.pk), str(person)) for person in people), ("key", _("API keys")), ("system", "PromptLab")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        if chosen.isdecimal():
            return queryset.filter(actor_kind="user", actor_id=int(chosen))
        return queryset.filter(actor_kind=chosen) if chosen else queryset


@admin.register(AuditEntry)
class ActivityAdmin(HouseAdmin):
    view_capability = "team.admin"
    list_title = _("Activity log")
    empty_title = _("Nothing happened yet")
    empty_text = _("Everything that people, programs and PromptLab itself change is listed here.")
    list_display = ["moment", "actor_label", "what", "note"]
    list_display_links = None
    list_filter = [KindFilter, PersonFilter, TeamFilter]
    search_fields = ["target_label", "note"]
    sortable_by = ()

    def visible(self, request: HttpRequest) -> QuerySet[Any]:
        return _entries_of(acting(request))

    @admin.display(description=_("When"))
    def moment(self, entry: AuditEntry) -> str:
        return when(entry.at)

    @admin.display(description=_("What"))
    def what(self, entry: AuditEntry) -> SafeString:
        return link(self.url("change", entry.pk), sentence(entry))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show one entry: who, when, from where, and what it was before and after."""
        facts = [
            (_("Who"), thing.actor_label),
            (_("When"), when(thing.at)),
            (_("Why"), thing.note or "–"),
            (_("From where"), thing.address or "–"),
            (_("Request"), format_html("<code>{}</code>", thing.request_id) if thing.request_id else "–"),
        ]
        said = sentence(thing)
        title = f"{thing.actor_label} {said}"
        return self.page(request, "admin/accounts/activity.html", title=title, facts=facts, changes=changes(thing))


def _entries_of(actor: Principal) -> QuerySet[Any]:
    return AuditEntry.objects.of_teams(actor.teams_with("team.admin"))
