"""Teams: who is in them, and making one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts import services
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, acting, asks, link, role_names, sent
from promptlab.accounts.models import Membership, Team, User
from promptlab.templatetags.promptlab import when


class TeamNameForm(HouseForm):
    named = {"team_taken": "name"}
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("A team's prompts and keys are its own."),
        error_messages=asks(_("Give the team a name.")),
    )


class NewTeamForm(TeamNameForm):
    """A team to be, and who looks after it. Without a choice that is whoever makes it."""

    administrator = forms.ModelChoiceField(
        User.objects.none(),
        label=_("First administrator"),
        empty_label=None,
        required=False,
        help_text=_("They add everybody else."),
    )

    def __init__(self, *args: Any, people: QuerySet[User], me: User, **kwargs: Any) -> None:
        super().__init__(*args, initial={"administrator": me.pk}, **kwargs)
        self.fields["administrator"].queryset = people  # type: ignore[attr-defined]


@admin.register(Team)
class TeamAdmin(HouseAdmin):
    view_capability = write_capability = "team.admin"
    team_path = "pk"
    list_title = _("Teams")
    add_label = _("New team")
    list_display = ["name_link", "people", "keys", "made"]
    list_display_links = None
    search_fields = ["name"]

    def visible(self, request: HttpRequest) -> QuerySet[Any]:
        return Team.objects.filter(pk__in=acting(request).teams_with("team.admin"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        works = Q(api_keys__revoked_at=None, api_keys__isnull=False)
        return self.visible(request).annotate(
            people_count=Count("memberships__user", distinct=True),
            key_count=Count("api_keys", filter=works, distinct=True),
        )

    @admin.display(description=_("Name"), ordering="name")
    def name_link(self, team: Team) -> SafeString:
        return link(self.url("change", team.pk), team.name)

    @admin.display(description=_("People"))
    def people(self, team: Any) -> int:
        return team.people_count

    @admin.display(description=_("API keys"))
    def keys(self, team: Any) -> int:
        return team.key_count

    @admin.display(description=_("Made"), ordering="created_at")
    def made(self, team: Team) -> str:
        return when(team.created_at)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a team, with its first administrator."""
        me = _signed_in(request)
        form = NewTeamForm(sent(request), people=_people_for(me, acting(request)), me=me)

        def make(filled: dict[str, Any]) -> HttpResponse:
            chosen = filled["administrator"] or me
            team = services.create_team(acting(request), filled["name"], chosen)
            names = {"team": team, "person": chosen}
            if chosen == me:
                return self.said(request, gettext("%(team)s is ready.") % names, self.url("change", team.pk))
            said = gettext("%(team)s is ready. %(person)s administers it.") % names
            return self.said(request, said, self.url("changelist"))

        return self.form_page(
            request,
            form,
            make,
            title=_("New team"),
            submit_label=_("Make the team"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show who is in the team, in which roles, and its name to change."""
        title = thing.name
        form = TeamNameForm(sent(request), initial={"name": thing.name})
        if request.method == "POST":
            self.demand(request, self.write_capability, thing)

        def rename(filled: dict[str, Any]) -> HttpResponse:
            renamed = services.rename_team(acting(request), thing, filled["name"])
            return self.said(
                request, gettext("The team is called %(name)s.") % {"name": renamed}, self.url("change", thing.pk)
            )

        return self.form_page(
            request,
            form,
            rename,
            template="admin/accounts/team.html",
            title=title,
            members=_members(thing),
            add_url=_person_url(None),
            submit_label=_("Save the name"),
            cancel_url=self.url("changelist"),
        )


def _members(team: Team) -> list[dict[str, Any]]:
    """Return the people of a team, each with their roles."""
    roles: dict[Any, list[str]] = {}
    for membership in Membership.objects.filter(team=team).select_related("user"):
        roles.setdefault(membership.user, []).append(membership.role)
    return [
        {"person": person, "url": _person_url(person.pk), "roles": ", ".join(role_names(held))}
        for person, held in roles.items()
    ]


def _people_for(me: User, actor: Principal) -> QuerySet[User]:
    """Return who may be the first administrator: people one manages, and oneself."""
    if me.is_superuser:
        return User.objects.filter(is_active=True).order_by("first_name", "username")
    teams = actor.teams_with("team.admin")
    managed = User.objects.filter(Q(memberships__team__in=teams) | Q(pk=me.pk), is_active=True)
    return managed.distinct().order_by("first_name", "username")


def _signed_in(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _person_url(pk: int | None) -> str:
    return reverse("admin:accounts_user_change", args=[pk]) if pk else reverse("admin:accounts_user_add")
