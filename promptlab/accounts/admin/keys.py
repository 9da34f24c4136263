"""API keys: made and shown once, replaced, revoked. Nothing of a key can be changed or read again afterwards."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts import services
from promptlab.accounts.access import Scope
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, badge, link, sent
from promptlab.accounts.models import ApiKey
from promptlab.lib.formats import fmt_int, fmt_name, fmt_when
from promptlab.templatetags.promptlab import when

IN_USE = timedelta(hours=24)
"""A key used within this time is revoked only by who types its name."""
SOON = timedelta(days=14)

RIGHTS: dict[str, Any] = {
    Scope.READ: _("Fetch prompts"),
    Scope.WRITE: _("Write prompts and experiments"),
    Scope.DEPLOY: _("Put live, run experiments"),
    Scope.CHAT: _("Ask models"),
    Scope.FEEDBACK: _("Report ratings"),
    Scope.ADMIN: _("Everything, other keys included"),
}


class NewKeyForm(TeamForm):
    """What a key is for. Environments live on a higher floor, so they are typed."""

    named = {"unknown_scope": "scopes"}
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("Which application uses it."),
        error_messages=asks(_("Say which application uses it.")),
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=list(RIGHTS.items()),
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.READ],
        error_messages=asks(_("Tick what it may do.")),
    )
    environments = forms.CharField(
        label=_("Only in these environments"),
        max_length=400,
        required=False,
        help_text=_("Separated by spaces, such as: development staging. Empty: all of them."),
    )
    ends_on = forms.DateField(
        label=_("Ends on"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    calls_per_hour = forms.IntegerField(
        label=_("Calls per hour"),
        required=False,
        min_value=1,
        max_value=100_000_000,
        help_text=_("Empty: the installation's default."),
    )
    field_order = ["team", "name", "scopes", "environments", "ends_on", "calls_per_hour"]

    def clean_ends_on(self) -> Any:
        day = self.cleaned_data["ends_on"]
        if day is None:
            return None
        if day <= timezone.localdate():
            raise forms.ValidationError(gettext("Choose a day that is still to come."))
        return timezone.make_aware(datetime.combine(day, time.min))


class TypedNameForm(HouseForm):
    """Typing the name: for a key that some application is using right now."""

    typed = forms.CharField(
        label=_("Type the key's name"),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages=asks(_("Type the key's name.")),
    )

    def __init__(self, *args: Any, key: ApiKey, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.key = key
        self.fields["typed"].help_text = format_html(gettext("It is called <strong>{}</strong>."), key.name)

    def clean_typed(self) -> str:
        typed = self.cleaned_data["typed"].strip()
        if typed != self.key.name:
            raise forms.ValidationError(gettext("That is not the name. It is %(name)s.") % {"name": self.key.name})
        return typed


class StateFilter(admin.SimpleListFilter):
    title = _("State")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("works", _("Works")), ("over", _("Ended or revoked"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        works = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        if self.value() == "works":
            return queryset.filter(works)
        return queryset.exclude(works) if self.value() == "over" else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(HouseAdmin):
    view_capability = write_capability = "key.admin"
    list_title = _("API keys")
    add_label = _("New key")
    empty_title = _("No keys yet")
    empty_text = _("An app needs a key to fetch prompts.")
    list_display = ["name_link", "begins_with", "rights", "where", "made_by", "used", "ends", "state"]
    list_display_links = None
    list_filter = [StateFilter, TeamFilter]
    search_fields = ["name", "prefix"]
    sortable_by = ()

    def visible(self, request: HttpRequest) -> QuerySet[Any]:
        return ApiKey.objects.visible_to(acting(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("created_by", "team")

    @admin.display(description=_("Name"))
    def name_link(self, key: ApiKey) -> SafeString:
        return link(self.url("change", key.pk), key.name)

    @admin.display(description=_("Begins with"))
    def begins_with(self, key: ApiKey) -> SafeString:
        return format_html("<code>pl_{}…</code>", key.prefix)

    @admin.display(description=_("May"))
    def rights(self, key: ApiKey) -> SafeString:
        return format_html_join("", "<div>{}</div>", ((RIGHTS[scope],) for scope in key.scope_list))

    @admin.display(description=_("Environments"))
    def where(self, key: ApiKey) -> str:
        return ", ".join(fmt_name(name) for name in key.environments.split()) or gettext("All")

    @admin.display(description=_("Made by"))
    def made_by(self, key: ApiKey) -> str:
        return str(key.created_by or "PromptLab")

    @admin.display(description=_("Last used"))
    def used(self, key: ApiKey) -> str:
        return when(key.last_used_at) if key.last_used_at else gettext("Never")

    @admin.display(description=_("Ends on"))
    def ends(self, key: ApiKey) -> str:
        return when(key.expires_at) if key.expires_at else gettext("No end")

    @admin.display(description=_("State"))
    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at is not None:
            return badge(_("Revoked"))
        if not key.is_usable:
            return badge(pgettext("key", "Ended"))
        is_ending = key.expires_at is not None and key.expires_at - timezone.now() < SOON
        return badge(_("Ends soon"), "warn") if is_ending else badge(_("Works"), "ok")

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/replace/", self.replace_page, "replace"),
            self.own("<int:pk>/revoke/", self.revoke_page, "revoke"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a key; the answer to the form is the only page that ever shows it."""
        actor = acting(request)
        form = NewKeyForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            key, secret = services.issue_key(
                actor,
                form.chosen_team(),
                name=filled["name"],
                scopes=filled["scopes"],
                environments=filled["environments"].split(),
                expires_at=filled["ends_on"],
                calls_per_hour=filled["calls_per_hour"],
            )
            return self.shown_once(request, key, secret)

        return self.form_page(
            request,
            form,
            make,
            title=_("New API key"),
            submit_label=_("Make the key"),
            cancel_url=self.url("changelist"),
        )

    def shown_once(self, request: HttpRequest, key: ApiKey, secret: str, lead: str = "") -> HttpResponse:
        """Answer with the key itself. It is in no other page, log or database."""
        return self.page(
            request,
            "admin/accounts/key_once.html",
            title=_("Your new key"),
            key=key,
            secret=secret,
            lead=lead,
            example_url=request.build_absolute_uri("/api/v1/prompts"),
            done_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what is known of a key."""
        facts = [
            (_("State"), self.state(thing)),
            (_("Begins with"), self.begins_with(thing)),
            (_("Team"), thing.team),
            (_("It may"), self.rights(thing)),
            (_("Environments"), self.where(thing)),
            (_("Calls per hour"), fmt_int(thing.calls_per_hour) if thing.calls_per_hour else _("The default")),
            (_("Made by"), self.made_by(thing)),
            (_("Made"), when(thing.created_at)),
            (_("Last used"), self.used(thing)),
            (_("Ends on"), self.ends(thing)),
        ]
        actions = []
        if thing.is_usable:
            actions = [
                {"label": _("Replace…"), "url": self.url("replace", thing.pk), "kind": ""},
                {"label": _("Revoke…"), "url": self.url("revoke", thing.pk), "kind": "danger"},
            ]
        return self.page(request, "admin/accounts/facts.html", title=thing.name, facts=facts, actions=actions)

    def replace_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a successor; the old key works for a day more."""
        key = self.found(request, pk)
        actor = self.demand(request, self.write_capability, key)

        def replace(filled: dict[str, Any]) -> HttpResponse:
            new, secret = services.rotate_key(actor, key)
            lead = gettext("The old key works for 24 hours more. Change the application until then.")
            return self.shown_once(request, new, secret, lead)

        return self.confirm(
            request,
            replace,
            title=_("Replace %(key)s") % {"key": key.name},
            consequences=[
                _("You get a new key with the same rights. It is shown once."),
                _("The old key works for 24 hours more, then it ends."),
            ],
            submit_label=_("Replace the key"),
            cancel_url=self.url("change", key.pk),
        )

    def revoke_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End a key at once. One that is in use takes typing its name."""
        key = self.found(request, pk)
        actor = self.demand(request, self.write_capability, key)
        is_in_use = key.last_used_at is not None and timezone.now() - key.last_used_at < IN_USE

        def revoke(filled: dict[str, Any]) -> HttpResponse:
            services.revoke_key(actor, key)
            return self.said(request, gettext("%(key)s no longer works.") % {"key": key.name}, self.url("changelist"))

        used = _("Last used %(when)s. Whatever uses it gets errors from now on.") % {"when": fmt_when(key.last_used_at)}
        return self.confirm(
            request,
            revoke,
            form=TypedNameForm(sent(request), key=key) if is_in_use else None,
            title=_("Revoke %(key)s") % {"key": key.name},
            consequences=[
                _("Every call with this key is refused within a second."),
                _("A revoked key cannot be brought back."),
            ],
            warnings=[used] if is_in_use else [],
            submit_label=_("Revoke the key"),
            is_danger=True,
            cancel_url=self.url("change", key.pk),
        )
