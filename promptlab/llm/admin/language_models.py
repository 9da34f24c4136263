"""The pages of models: everybody sees which ones they may use, administrators manage them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, asks, badge, link, sent
from promptlab.lib.formats import DASH, fmt_int, fmt_money
from promptlab.llm import offering
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.querysets import CAPABILITY, USE
from promptlab.llm.services import modelling

TIERS = [("", DASH), *LanguageModel.Tier.choices]


class ModelForm(HouseForm):
    """A model."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What prompts and programs say."),
        error_messages=asks(_("Give the model a name.")),
    )
    upstream_name = forms.CharField(
        label=_("The provider's name for it"), max_length=200, required=False, help_text=_("Empty: the same.")
    )
    tier = forms.ChoiceField(label=_("Tier"), choices=TIERS, required=False)
    context_window = forms.IntegerField(label=_("Prompt and answer together, in tokens"), required=False)
    max_output_tokens = forms.IntegerField(label=_("Longest answer, in tokens"), required=False)
    abilities = forms.MultipleChoiceField(
        label=_("Abilities"),
        choices=LanguageModel.Ability.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    fallbacks = forms.CharField(
        label=_("When it cannot answer"),
        max_length=600,
        required=False,
        help_text=_("Names of other models, separated by commas: the first is tried first."),
    )

    def clean_fallbacks(self) -> list[str]:
        return [name for part in self.cleaned_data["fallbacks"].split(",") if (name := part.strip())]


class NewModelForm(ModelForm):
    """A model to be, of one of the providers that the person manages."""

    named = {"provider_id": "provider"}
    provider = forms.ModelChoiceField(Provider.objects.none(), label=_("Provider"), empty_label=None)
    field_order = ["provider", "name"]

    def __init__(self, *args: Any, providers: QuerySet[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["provider"].queryset = providers  # type: ignore[attr-defined]


@admin.register(LanguageModel)
class LanguageModelAdmin(HouseAdmin):
    view_capability, write_capability = USE, CAPABILITY
    list_title = _("Which models can I use?")
    add_label = _("New model")
    empty_title = _("No models of your own yet")
    empty_text = _("Practice (echo) is always there, and so are the models of this installation's settings.")
    list_display = ["name_link", "provider_name", "tier", "longest", "able", "state"]
    list_display_links = None
    list_filter = ["tier", "is_on", TeamFilter]
    search_fields = ["name", "upstream_name"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.visible(request).select_related("provider", "team")
        return rows.prefetch_related("fallbacks__other")

    @admin.display(description=_("Model"))
    def name_link(self, model: LanguageModel) -> SafeString:
        return link(self.url("change", model.pk), model.name)

    @admin.display(description=_("Provider"))
    def provider_name(self, model: LanguageModel) -> str:
        return model.provider.name

    @admin.display(description=_("Longest prompt and answer, in tokens"))
    def longest(self, model: LanguageModel) -> str:
        return fmt_int(model.context_window)

    @admin.display(description=_("Abilities"))
    def able(self, model: LanguageModel) -> str:
        return ", ".join(str(LanguageModel.Ability(one).label) for one in model.ability_list) or DASH

    @admin.display(description=_("State"))
    def state(self, model: LanguageModel) -> SafeString:
        if not model.provider.is_on:
            return badge(_("Its provider is off"), "warn")
        return badge(_("On"), "ok") if model.is_on else badge(_("Off"), "neutral")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = [{"label": _("What they cost"), "url": self.url("offer")}]
        return super().changelist_view(request, {"more": more, **(extra_context or {})})

    def own_urls(self) -> list[Any]:
        return [
            self.own("offer/", self.offer_page, "offer"),
            self.own("<int:pk>/edit/", self.edit_page, "edit"),
            self.own("<int:pk>/switch/", self.switch_page, "switch"),
            self.own("<int:pk>/remove/", self.remove_page, "remove"),
        ]

    def offer_page(self, request: HttpRequest) -> HttpResponse:
        """Show every model that may be named, practice and the settings' ones among them, and what each costs."""
        actor = self.demand(request, self.view_capability)
        teams = actor.teams_with(self.view_capability)
        found = {one.name: one for team_id in teams for one in offering.offers(team_id)}
        rows = [
            {
                "name": one.name,
                "provider": one.provider,
                "note": one.region_note,
                "longest": fmt_int(one.context_window),
                "asked": fmt_money(one.input_usd_per_million),
                "answered": fmt_money(one.output_usd_per_million),
            }
            for one in found.values()
        ]
        return self.page(request, "admin/llm/offer.html", title=_("What models cost"), rows=rows)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a model."""
        actor = acting(request)
        providers = Provider.objects.visible_to(actor)
        if not providers.exists():
            return self.said(
                request, gettext("Make a provider first: it answers for models."), reverse("admin:llm_provider_add")
            )
        form = NewModelForm(sent(request), providers=providers, initial={"provider": request.GET.get("provider")})

        def make(filled: dict[str, Any]) -> HttpResponse:
            provider = filled.pop("provider")
            said: Any = filled
            made = modelling.create_model(actor, provider, said)
            return self.said(request, gettext("The model is there."), self.url("change", made.pk))

        title, label = _("New model"), _("Make the model")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a model, without its provider's address."""
        facts = [
            (_("State"), self.state(thing)),
            (_("Provider"), thing.provider.name),
            (_("The provider's name for it"), thing.upstream_name),
            (_("Tier"), thing.get_tier_display() or DASH),
            (_("Prompt and answer together, in tokens"), fmt_int(thing.context_window)),
            (_("Longest answer, in tokens"), fmt_int(thing.max_output_tokens)),
            (_("Abilities"), self.able(thing)),
            (_("When it cannot answer"), ", ".join(one.other.name for one in thing.fallbacks.all()) or DASH),
            (_("Region and privacy"), thing.provider.region_note or DASH),
            (_("Team"), thing.team),
        ]
        actions = []
        if self.may(request, self.write_capability, thing):
            switch = _("Switch off…") if thing.is_on else _("Switch on…")
            named = [(_("Change…"), "edit", ""), (switch, "switch", ""), (_("Remove…"), "remove", "danger")]
            actions = [{"label": label, "url": self.url(name, thing.pk), "kind": kind} for label, name, kind in named]
        return self.page(request, "admin/accounts/facts.html", title=thing.name, facts=facts, actions=actions)

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a model."""
        model = self.found(request, pk)
        actor = self.demand(request, self.write_capability, model)
        names = ("name", "upstream_name", "tier", "context_window", "max_output_tokens")
        known = {name: getattr(model, name) for name in names}
        others = ", ".join(one.other.name for one in model.fallbacks.all())
        form = ModelForm(sent(request), initial={**known, "abilities": model.ability_list, "fallbacks": others})

        def change(filled: dict[str, Any]) -> HttpResponse:
            said: Any = filled
            modelling.update_model(actor, model, said)
            return self.said(request, gettext("Saved."), self.url("change", model.pk))

        title, cancel_url = _("Change %(model)s") % {"model": model.name}, self.url("change", pk)
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def switch_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Switch a model off or on."""
        model = self.found(request, pk)
        actor = self.demand(request, self.write_capability, model)
        label = _("Switch it off") if model.is_on else _("Switch it on")
        off = _("Calls that name it are refused. Where it is a fallback, it is passed over.")

        def switch(filled: dict[str, Any]) -> HttpResponse:
            modelling.update_model(actor, model, {"is_on": not model.is_on})
            return self.said(request, gettext("Saved."), self.url("change", model.pk))

        return self.confirm(
            request,
            switch,
            title=f"{label}: {model.name}",
            consequences=[off if model.is_on else _("Calls that name it are answered again.")],
            submit_label=label,
            cancel_url=self.url("change", model.pk),
        )

    def remove_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a model."""
        model = self.found(request, pk)
        actor = self.demand(request, self.write_capability, model)

        def remove(filled: dict[str, Any]) -> HttpResponse:
            modelling.remove_model(actor, model)
            done = gettext("The model %(model)s is removed.") % {"model": model.name}
            return self.said(request, done, self.url("changelist"))

        return self.confirm(
            request,
            remove,
            title=_("Remove %(model)s") % {"model": model.name},
            consequences=[
                _("Calls that name it go where this installation's settings say, or fail."),
                _("It is no fallback of other models any more."),
            ],
            submit_label=_("Remove the model"),
            is_danger=True,
            cancel_url=self.url("change", model.pk),
        )
