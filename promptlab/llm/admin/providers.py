"""The administrators' pages of providers: who answers, with which key, whether it does, and what it costs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link, sent
from promptlab.lib.formats import fmt_day
from promptlab.llm.admin.provider_forms import (
    LIMITS,
    MASKED,
    ConfirmForm,
    KeyForm,
    NewProviderForm,
    PriceForm,
    ProviderForm,
    initial,
)
from promptlab.llm.models import LanguageModel, Price, Provider
from promptlab.llm.probing import Result
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.refusals import PriceNotFound
from promptlab.llm.services import checking, price_list, providing
from promptlab.templatetags.promptlab import when

MOST_PRICES = 200


@admin.register(Provider)
class ProviderAdmin(HouseAdmin):
    view_capability = write_capability = CAPABILITY
    list_title = _("Providers")
    add_label = _("New provider")
    empty_title = _("No providers yet")
    empty_text = _(
        "A provider answers for models. Until there is one, calls go where this installation's settings say."
    )
    list_display = ["name_link", "kind", "connected", "models_on", "state"]
    list_display_links = None
    list_filter = ["kind", "is_on", TeamFilter]
    search_fields = ["name"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        on = Count("language_models", filter=Q(language_models__is_on=True))
        rows: QuerySet[Any] = self.visible(request).annotate(on=on).select_related("key_set_by", "team")
        return rows

    @admin.display(description=_("Provider"))
    def name_link(self, provider: Provider) -> SafeString:
        return link(self.url("change", provider.pk), provider.name)

    @admin.display(description=_("Connected"))
    def connected(self, provider: Provider) -> SafeString:
        if provider.checked_at is None:
            return badge(_("Not checked"), "neutral")
        is_ok = provider.check_result == Result.OK
        said = badge(_("✓ Answers"), "ok") if is_ok else badge(_("✗ Does not answer"), "bad")
        return format_html("{} {}", said, when(provider.checked_at))

    @admin.display(description=_("Models on"))
    def models_on(self, provider: Any) -> int:
        on: int = provider.on
        return on

    @admin.display(description=_("State"))
    def state(self, provider: Provider) -> SafeString:
        return badge(_("On"), "ok") if provider.is_on else badge(_("Off"), "neutral")

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/edit/", self.edit_page, "edit"),
            self.own("<int:pk>/key/", self.key_page, "key"),
            self.own("<int:pk>/check/", self.check_page, "check"),
            self.own("<int:pk>/switch/", self.switch_page, "switch"),
            self.own("<int:pk>/remove/", self.remove_page, "remove"),
            self.own("<int:pk>/price/", self.price_page, "price"),
            self.own("<int:pk>/price/<int:price_pk>/remove/", self.remove_price_page, "remove_price"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a provider."""
        actor = acting(request)
        form = NewProviderForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            team = form.chosen_team()
            said: Any = {name: value for name, value in filled.items() if name != "team"}
            made = providing.create_provider(actor, team.pk, said)
            return self.said(request, gettext("The provider is there. Check the connection."), self._url(made))

        title, label = _("New provider"), _("Make the provider")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a provider with its models and prices, and without its key."""
        return self.page(
            request,
            "admin/llm/provider.html",
            title=thing.name,
            facts=self._about(thing),
            actions=self._actions(thing),
            models=self._models(thing),
            new_model_url=reverse("admin:llm_languagemodel_add") + f"?provider={thing.pk}",
            prices=self._prices(thing),
            new_price_url=self.url("price", thing.pk),
        )

    def _about(self, provider: Provider) -> list[tuple[Any, Any]]:
        found = checking.words(provider.check_result, provider.check_status) or "–"
        return [
            (_("State"), self.state(provider)),
            (_("Connected"), self.connected(provider)),
            (_("What the last check found"), found),
            (_("Kind"), provider.get_kind_display()),
            (_("Address"), format_html("<code>{}</code>", provider.called_at) if provider.called_at else "–"),
            (_("Key"), _key_words(provider)),
            (_("API version"), provider.api_version or "–"),
            (_("Region and privacy"), provider.region_note or "–"),
            (_("Replaced before a call"), ", ".join(str(MASKED[kind]) for kind in provider.masked_list) or "–"),
            (_("When the caller hangs up"), provider.get_on_hang_up_display()),
            *((label, _seconds(provider, name)) for name, label in LIMITS.items()),
            (_("Team"), provider.team),
        ]

    def _actions(self, provider: Provider) -> list[dict[str, Any]]:
        switch = _("Switch off…") if provider.is_on else _("Switch on…")
        named = [
            (_("Check the connection…"), "check", ""),
            (_("Change…"), "edit", ""),
            (_("Replace the key…"), "key", ""),
            (switch, "switch", ""),
            (_("Remove…"), "remove", "danger"),
        ]
        return [{"label": label, "url": self.url(name, provider.pk), "kind": kind} for label, name, kind in named]

    def _models(self, provider: Provider) -> list[dict[str, Any]]:
        rows = LanguageModel.objects.filter(provider=provider)
        return [
            {
                "name": row.name,
                "url": reverse("admin:llm_languagemodel_change", args=[row.pk]),
                "upstream_name": row.upstream_name,
                "tier": row.get_tier_display() or "–",
                "state": badge(_("On"), "ok") if row.is_on else badge(_("Off"), "neutral"),
            }
            for row in rows
        ]

    def _prices(self, provider: Provider) -> list[dict[str, Any]]:
        return [
            {
                "model": row.model,
                "token": row.get_token_display(),
                "usd": f"${row.usd_per_million.normalize():f}",
                "since": when(row.valid_from),
                "until": when(row.valid_to) if row.valid_to else "–",
                "remove_url": self.url("remove_price", provider.pk, row.pk),
            }
            for row in Price.objects.filter(provider=provider)[:MOST_PRICES]
        ]

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a provider. Another host asks for the key again."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)
        form = ProviderForm(sent(request), initial=initial(provider))

        def change(filled: dict[str, Any]) -> HttpResponse:
            said: Any = {name: value for name, value in filled.items() if name != "key" or value}
            providing.update_provider(actor, provider, said)
            return self.said(request, gettext("Saved."), self._url(provider))

        title = _("Change %(provider)s") % {"provider": provider.name}
        context = {"title": title, "submit_label": _("Save"), "cancel_url": self._url(provider)}
        return self.form_page(request, form, change, **context)

    def key_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Replace the key."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)
        form = KeyForm(sent(request), initial={"key_variable": provider.key_variable})

        def replace(filled: dict[str, Any]) -> HttpResponse:
            said: Any = {"key": filled["key"]} if filled["key"] else {"key_variable": filled["key_variable"]}
            providing.update_provider(actor, provider, said)
            return self.said(request, gettext("The key is replaced. Check the connection."), self._url(provider))

        return self.confirm(
            request,
            replace,
            form=form,
            lead=_key_words(provider),
            title=_("Another key for %(provider)s") % {"provider": provider.name},
            consequences=[_("Calls that begin from now on use the new key."), _("The old one is forgotten here.")],
            submit_label=_("Replace the key"),
            cancel_url=self._url(provider),
        )

    def check_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask the provider for its models and say how that went."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)

        def check(filled: dict[str, Any]) -> HttpResponse:
            finding = checking.check_provider(actor, provider)
            return self.said(request, checking.words(finding.result, finding.status), self._url(provider))

        return self.confirm(
            request,
            check,
            title=_("Check the connection to %(provider)s") % {"provider": provider.name},
            consequences=[_("It is asked which models it has, with the stored key. That costs nothing.")],
            submit_label=_("Check the connection"),
            cancel_url=self._url(provider),
        )

    def switch_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Switch a provider off or on."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)
        label = _("Switch it off") if provider.is_on else _("Switch it on")
        off = _("Its models are refused by name. Where they are fallbacks of others, they are passed over.")

        def switch(filled: dict[str, Any]) -> HttpResponse:
            providing.update_provider(actor, provider, {"is_on": not provider.is_on})
            return self.said(request, gettext("Saved."), self._url(provider))

        return self.confirm(
            request,
            switch,
            title=f"{label}: {provider.name}",
            consequences=[off if provider.is_on else _("Its models that are on answer again.")],
            submit_label=label,
            cancel_url=self._url(provider),
        )

    def remove_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a provider. While models of it are on, its name has to be typed."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)
        on = list(provider.language_models.filter(is_on=True).values_list("name", flat=True))

        def remove(filled: dict[str, Any]) -> HttpResponse:
            providing.remove_provider(actor, provider, confirm=filled.get("confirm", ""))
            done = gettext("The provider %(provider)s is removed.") % {"provider": provider.name}
            return self.said(request, done, self.url("changelist"))

        answers = _("These models are on, and calls that name them will go elsewhere or fail: %(models)s.")
        return self.confirm(
            request,
            remove,
            form=ConfirmForm(sent(request)) if on else None,
            title=_("Remove %(provider)s") % {"provider": provider.name},
            consequences=[_("Its key, its models and its prices are removed."), _("What was answered keeps its cost.")],
            warnings=[answers % {"models": ", ".join(on)}] if on else [],
            submit_label=_("Remove the provider"),
            is_danger=True,
            cancel_url=self._url(provider),
        )

    def price_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Write a price."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)

        def write(filled: dict[str, Any]) -> HttpResponse:
            price_list.set_price(actor, provider, **filled)
            return self.said(request, gettext("The price is written down."), self._url(provider))

        return self.form_page(
            request,
            PriceForm(sent(request)),
            write,
            title=_("New price of %(provider)s") % {"provider": provider.name},
            lead=_("It goes before the published price. A price without an end ends where the next one begins."),
            submit_label=_("Write it down"),
            cancel_url=self._url(provider),
        )

    def remove_price_page(self, request: HttpRequest, pk: int, price_pk: int) -> HttpResponse:
        """Remove a price that was a mistake."""
        provider = self.found(request, pk)
        actor = self.demand(request, self.write_capability, provider)
        price = Price.objects.select_related("provider").filter(provider=provider, pk=price_pk).first()
        if price is None:
            raise PriceNotFound

        def remove(filled: dict[str, Any]) -> HttpResponse:
            price_list.remove_price(actor, price)
            return self.said(request, gettext("The price is removed."), self._url(provider))

        return self.confirm(
            request,
            remove,
            title=_("Remove the price: %(price)s") % {"price": price},
            consequences=[_("Answers that were priced with it keep their cost.")],
            submit_label=_("Remove the price"),
            is_danger=True,
            cancel_url=self._url(provider),
        )

    def _url(self, provider: Provider) -> str:
        return self.url("change", provider.pk)


def _key_words(provider: Provider) -> str:
    """Return what may be told of a key: `•••• 7f3a, set by Ana on 3 May`."""
    if not provider.has_key:
        return gettext("None")
    shown = f"${provider.key_variable}" if provider.key_variable else f"•••• {provider.key_hint}".strip()
    who = str(provider.key_set_by or "PromptLab")
    day = fmt_day(provider.key_set_at.date()) if provider.key_set_at else "–"
    return gettext("%(key)s, set by %(who)s on %(day)s") % {"key": shown, "who": who, "day": day}


def _seconds(provider: Provider, name: str) -> str:
    seconds = getattr(provider, name)
    return gettext("As the settings say") if seconds is None else f"{seconds:g} s"
