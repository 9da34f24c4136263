"""People: names, roles per team, passwords. Somebody in several teams is managed by who administers all of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts import services
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, Refusable, acting, badge, link, role_names, sent
from promptlab.accounts.models import Membership, Team, User
from promptlab.accounts.services import ACCOUNT_FIELDS, Roles, may_manage
from promptlab.lib.errors import Forbidden
from promptlab.templatetags.promptlab import when


class PersonForm(Refusable, forms.ModelForm):
    """A person's account, and one set of check boxes per team that the administrator manages."""

    class Meta:
        model = User
        fields = ACCOUNT_FIELDS
        labels = {
            "first_name": _("First name"),
            "last_name": _("Last name"),
            "username": _("User name"),
            "email": _("Mail address"),
            "is_active": _("May sign in"),
        }
        help_texts = {"username": _("For signing in."), "is_active": ""}

    def __init__(self, *args: Any, actor: Principal, is_account_fixed: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["first_name"].required = True
        for field in ACCOUNT_FIELDS if is_account_fixed else ():
            self.fields[field].disabled = True
        self.teams = list(Team.objects.filter(pk__in=actor.teams_with("team.admin")))
        held = Membership.objects.filter(user=self.instance) if self.instance.pk else Membership.objects.none()
        for team in self.teams:
            self.fields[f"roles_{team.pk}"] = forms.MultipleChoiceField(
                label=_("Roles in %(team)s") % {"team": team},
                choices=Membership.Role.choices,
                widget=forms.CheckboxSelectMultiple,
                initial=[membership.role for membership in held if membership.team_id == team.pk],
                required=False,
                error_messages={"required": _("Tick at least one role, or switch the account off instead.")},
            )
        if len(self.teams) == 1:
            self.fields[f"roles_{self.teams[0].pk}"].required = not self._has_other_roles()
            self.named = {"no_role": f"roles_{self.teams[0].pk}", "last_administrator": f"roles_{self.teams[0].pk}"}

    def _has_other_roles(self) -> bool:
        """Tell whether the person keeps a role somewhere else without one in the only team that is asked about."""
        if self.instance.is_superuser or not self.instance.pk:
            return bool(self.instance.is_superuser)
        return Membership.objects.filter(user=self.instance).exclude(team=self.teams[0]).exists()

    def roles(self) -> Roles:
        """Return the ticked roles by team."""
        return {team: set(self.cleaned_data[f"roles_{team.pk}"]) for team in self.teams}


class PasswordForm(Refusable, SetPasswordForm):
    """Django's form for a new password."""


@admin.register(User)
class PersonAdmin(HouseAdmin):
    view_capability = write_capability = "team.admin"
    list_title = _("People")
    add_label = _("New person")
    list_display = ["name", "username", "email", "roles", "state", "seen"]
    list_display_links = None
    search_fields = ["username", "first_name", "last_name", "email"]
    ordering = ["first_name", "username"]

    def visible(self, request: HttpRequest) -> QuerySet[Any]:
        if getattr(request.user, "is_superuser", False):
            return User.objects.all()
        return User.objects.filter(memberships__team__in=acting(request).teams_with("team.admin")).distinct()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        mine = Membership.objects.filter(team__in=acting(request).teams_with("team.admin")).select_related("team")
        return self.visible(request).prefetch_related(Prefetch("memberships", mine, to_attr="held"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.write_capability)

    @admin.display(description=_("Name"), ordering="first_name")
    def name(self, person: User) -> SafeString:
        return link(self.url("change", person.pk), person)

    @admin.display(description=_("Roles"))
    def roles(self, person: Any) -> SafeString | str:
        by_team: dict[Any, list[str]] = {}
        for membership in person.held:
            by_team.setdefault(membership.team, []).append(membership.role)
        lines = [(team, ", ".join(role_names(roles))) for team, roles in by_team.items()]
        return format_html_join("", "<div>{}: {}</div>", lines) if lines else gettext("Administers the installation")

    @admin.display(description=_("State"))
    def state(self, person: User) -> SafeString:
        return badge(_("Active"), "ok") if person.is_active else badge(_("Switched off"))

    @admin.display(description=_("Last signed in"), ordering="last_login")
    def seen(self, person: User) -> str:
        return when(person.last_login)

    def team_id_of(self, thing: Any) -> int:
        """Return a team through which this person is seen; 0 for somebody in no team."""
        return next((membership.team_id for membership in thing.held), 0)

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/password/", self.password_page, "password")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Add a person; the next page gives them a password."""
        form = PersonForm(sent(request), actor=acting(request), instance=User())

        def add(filled: dict[str, Any]) -> HttpResponse:
            person = services.save_person(acting(request), form.instance, form.roles())
            message = gettext("%(person)s is added. Now choose a first password.") % {"person": person}
            return self.said(request, message, self.url("password", person.pk))

        return self.form_page(
            request,
            form,
            add,
            title=_("New person"),
            submit_label=_("Add and choose a password"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Change an account and its roles."""
        actor = acting(request)
        is_fixed = not may_manage(thing, by=actor)
        form = PersonForm(sent(request), actor=actor, instance=thing, is_account_fixed=is_fixed)

        def change(filled: dict[str, Any]) -> HttpResponse:
            services.save_person(actor, form.instance, form.roles())
            return self.said(request, gettext("%(person)s is saved.") % {"person": thing}, self.url("changelist"))

        note = _("This person is in teams you do not manage, so you can change their roles in yours only.")
        return self.form_page(
            request,
            form,
            change,
            template="admin/accounts/person.html",
            title=str(thing),
            submit_label=_("Save"),
            cancel_url=self.url("changelist"),
            note=note if is_fixed else "",
            password_url="" if is_fixed else self.url("password", thing.pk),
            history_url=self.url("history", thing.pk) if thing.held else "",
        )

    def password_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give somebody a new password. Their other sessions end."""
        actor = self.demand(request, self.write_capability)
        person = self.found(request, pk)
        if not may_manage(person, by=actor):
            raise Forbidden(gettext("This person is in teams you do not manage. Ask an administrator of all of them."))
        form = PasswordForm(person, sent(request))

        def change(filled: dict[str, Any]) -> HttpResponse:
            services.change_password(actor, person, filled["new_password1"])
            if person.pk == request.user.pk:
                update_session_auth_hash(request, person)
            message = gettext("%(person)s has a new password. Hand it over safely.") % {"person": person}
            return self.said(request, message, self.url("changelist"))

        return self.form_page(
            request,
            form,
            change,
            title=_("New password for %(person)s") % {"person": person},
            submit_label=_("Save the password"),
            cancel_url=self.url("change", person.pk),
        )
