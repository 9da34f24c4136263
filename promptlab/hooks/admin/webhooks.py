"""The administrators' pages of webhooks: endpoints, whose secret is shown once, and what was sent to them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, badge, link, sent
from promptlab.hooks.models import Delivery, Endpoint
from promptlab.hooks.services import endpoints, outbox
from promptlab.hooks.services.endpoints import CAPABILITY, EndpointChanges
from promptlab.templatetags.promptlab import when

TYPES = [(name, name) for name in outbox.TYPES]
KINDS = {
    Delivery.State.WAITING: "info",
    Delivery.State.FAILED: "warn",
    Delivery.State.DELIVERED: "ok",
    Delivery.State.DEAD: "bad",
}


def _fields() -> dict[str, forms.Field]:
    """Return what can be said of an endpoint."""
    return {
        "url": forms.CharField(
            label=_("Address"),
            max_length=1000,
            help_text=_("Begins with https://"),
            error_messages=asks(_("Give the address that wants to hear.")),
        ),
        "event_types": forms.MultipleChoiceField(
            label=_("Events"),
            choices=TYPES,
            required=False,
            widget=forms.CheckboxSelectMultiple,
            help_text=_("None ticked: all of them."),
        ),
        "description": forms.CharField(label=_("What it is for"), max_length=200, required=False),
        "with_private": forms.BooleanField(
            label=_("Private prompts too"),
            required=False,
            help_text=_("Whoever reads what is sent there learns the names of prompts in private collections."),
        ),
    }


class NewEndpointForm(TeamForm):
    """An endpoint to be."""

    field_order = ["team", "url", "event_types", "description", "with_private"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())
        self.order_fields(self.field_order)


class EndpointForm(HouseForm):
    """An endpoint that is there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())
        self.fields["is_active"] = forms.BooleanField(label=_("Switched on"), required=False)


@admin.register(Endpoint)
class EndpointAdmin(HouseAdmin):
    view_capability = write_capability = CAPABILITY
    list_title = _("Webhooks")
    add_label = _("New webhook")
    empty_title = _("No webhooks yet")
    empty_text = _("A webhook tells another program what happens here.")
    list_display = ["host_link", "description", "events", "state"]
    list_display_links = None
    list_filter = ["is_active", TeamFilter]
    search_fields = ["description"]
    sortable_by = ()

    @admin.display(description=_("To"))
    def host_link(self, endpoint: Endpoint) -> SafeString:
        return link(self.url("change", endpoint.pk), endpoint.host)

    @admin.display(description=_("Events"))
    def events(self, endpoint: Endpoint) -> SafeString | str:
        names = endpoint.event_list
        return format_html_join("", "<div>{}</div>", ((name,) for name in names)) if names else gettext("All")

    @admin.display(description=_("State"))
    def state(self, endpoint: Endpoint) -> SafeString:
        if not endpoint.is_active:
            return badge(_("Off"), "bad" if endpoint.disabled_reason else "neutral")
        return badge(_("Fails"), "warn") if endpoint.failing_since else badge(_("On"), "ok")

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/edit/", self.edit_page, "edit"),
            self.own("<int:pk>/rotate/", self.rotate_page, "rotate"),
            self.own("<int:pk>/test/", self.test_page, "test"),
            self.own("<int:pk>/remove/", self.remove_page, "remove"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a webhook; the answer to the form shows its secret."""
        actor = acting(request)
        form = NewEndpointForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            wanted = {name: filled[name] for name in ("url", "event_types", "description", "with_private")}
            made, secret = endpoints.create_endpoint(actor, form.chosen_team().pk, **wanted)
            return self.shown_once(request, made, secret)

        title, label = _("New webhook"), _("Make the webhook")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def shown_once(self, request: HttpRequest, endpoint: Endpoint, secret: str, lead: str = "") -> HttpResponse:
        """Answer with the secret. No other page has it."""
        return self.page(
            request,
            "admin/hooks/secret_once.html",
            title=_("The webhook's secret"),
            host=endpoint.host,
            secret=secret,
            lead=lead,
            done_url=self.url("change", endpoint.pk),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a webhook, without its secret."""
        facts = [
            (_("State"), self.state(thing)),
            (_("Why it is off"), thing.disabled_reason or "–"),
            (_("Address"), format_html("<code>{}</code>", thing.url)),
            (_("Events"), self.events(thing)),
            (_("What it is for"), thing.description or "–"),
            (_("Private prompts too"), _("Yes") if thing.with_private else _("No")),
            (_("Team"), thing.team),
            (_("Made by"), str(thing.created_by or "PromptLab")),
            (_("Made"), when(thing.created_at)),
        ]
        actions = [
            {"label": _("Change…"), "url": self.url("edit", thing.pk), "kind": ""},
            {"label": _("New secret…"), "url": self.url("rotate", thing.pk), "kind": ""},
            {"label": _("Remove…"), "url": self.url("remove", thing.pk), "kind": "danger"},
        ]
        if thing.is_active:
            actions.insert(0, {"label": _("Try it out…"), "url": self.url("test", thing.pk), "kind": ""})
        return self.page(request, "admin/accounts/facts.html", title=thing.host, facts=facts, actions=actions)

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a webhook; another address gets another secret."""
        endpoint = self.found(request, pk)
        actor = self.demand(request, self.write_capability, endpoint)
        known = {name: getattr(endpoint, name) for name in ("url", "description", "with_private", "is_active")}
        form = EndpointForm(sent(request), initial={**known, "event_types": endpoint.event_list})

        def change(filled: dict[str, Any]) -> HttpResponse:
            changes = EndpointChanges(**{**filled, "event_types": tuple(filled["event_types"])})
            changed, secret = endpoints.update_endpoint(actor, endpoint, changes)
            if secret:
                return self.shown_once(request, changed, secret, gettext("Another address has another secret."))
            return self.said(request, gettext("Saved."), self.url("change", endpoint.pk))

        title, cancel_url = _("Change the webhook to %(host)s") % {"host": endpoint.host}, self.url("change", pk)
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def rotate_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Replace the secret."""
        endpoint = self.found(request, pk)
        actor = self.demand(request, self.write_capability, endpoint)

        def rotate(filled: dict[str, Any]) -> HttpResponse:
            changed, secret = endpoints.rotate_secret(actor, endpoint)
            return self.shown_once(request, changed, secret, gettext("The old one signs as well for 24 hours."))

        return self.confirm(
            request,
            rotate,
            title=_("A new secret for %(host)s") % {"host": endpoint.host},
            consequences=[
                _("You get a new secret. It is shown once."),
                _("For 24 hours every request carries two signatures, with the new secret and with the old one."),
            ],
            submit_label=_("Make a new secret"),
            cancel_url=self.url("change", endpoint.pk),
        )

    def test_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the event webhook.test."""
        endpoint = self.found(request, pk)
        actor = self.demand(request, self.write_capability, endpoint)

        def test(filled: dict[str, Any]) -> HttpResponse:
            delivery = endpoints.send_test(actor, endpoint)
            return self.said(request, gettext("It is on its way. Look again in a moment."), _delivery_url(delivery.pk))

        return self.confirm(
            request,
            test,
            title=_("Try out the webhook to %(host)s") % {"host": endpoint.host},
            consequences=[_("It is sent one event, webhook.test.")],
            submit_label=_("Send it"),
            cancel_url=self.url("change", endpoint.pk),
        )

    def remove_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a webhook."""
        endpoint = self.found(request, pk)
        actor = self.demand(request, self.write_capability, endpoint)

        def remove(filled: dict[str, Any]) -> HttpResponse:
            endpoints.remove_endpoint(actor, endpoint)
            done = gettext("The webhook to %(host)s is removed.") % {"host": endpoint.host}
            return self.said(request, done, self.url("changelist"))

        return self.confirm(
            request,
            remove,
            title=_("Remove the webhook to %(host)s") % {"host": endpoint.host},
            consequences=[
                _("What was not delivered yet is not sent."),
                _("The list of what was delivered is removed as well."),
            ],
            submit_label=_("Remove the webhook"),
            is_danger=True,
            cancel_url=self.url("change", endpoint.pk),
        )


@admin.register(Delivery)
class DeliveryAdmin(HouseAdmin):
    view_capability = CAPABILITY
    team_path = "endpoint__team_id"
    list_title = _("Webhook deliveries")
    empty_title = _("Nothing was sent yet")
    empty_text = _("What is sent to webhooks is listed here, and how it went.")
    list_display = ["what", "about", "endpoint", "status", "attempts", "last_error", "happened"]
    list_display_links = None
    list_filter = ["state", TeamFilter]
    search_fields = ["event__type", "event__about"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("event", "endpoint")

    @admin.display(description=_("Event"))
    def what(self, delivery: Delivery) -> SafeString:
        return link(self.url("change", delivery.pk), delivery.event.type)

    @admin.display(description=_("About"))
    def about(self, delivery: Delivery) -> str:
        return delivery.event.about

    @admin.display(description=_("State"))
    def status(self, delivery: Delivery) -> SafeString:
        return badge(delivery.get_state_display(), KINDS[Delivery.State(delivery.state)])

    @admin.display(description=_("Happened"))
    def happened(self, delivery: Delivery) -> str:
        return when(delivery.event.created_at)

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/again/", self.again_page, "again")]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what was sent, and how it went."""
        is_waiting = thing.state in Delivery.UNSETTLED
        facts = [
            (_("State"), self.status(thing)),
            (_("To"), thing.endpoint.host),
            (_("About"), thing.event.about),
            (_("Happened"), self.happened(thing)),
            (_("Attempts"), thing.attempts),
            (_("Next attempt"), when(thing.next_at) if is_waiting else "–"),
            (_("Last answer"), thing.last_status or "–"),
            (_("Last error"), thing.last_error or "–"),
            (_("Delivered"), when(thing.delivered_at) if thing.delivered_at else "–"),
            ("webhook-id", format_html("<code>{}</code>", thing.event.webhook_id)),
        ]
        actions = [{"label": _("Send again…"), "url": self.url("again", thing.pk), "kind": ""}]
        return self.page(request, "admin/accounts/facts.html", title=thing.event.type, facts=facts, actions=actions)

    def again_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a delivery again."""
        delivery = self.found(request, pk)
        actor = self.demand(request, self.view_capability, delivery)

        def again(filled: dict[str, Any]) -> HttpResponse:
            endpoints.replay(actor, delivery)
            return self.said(request, gettext("It is on its way again."), self.url("change", delivery.pk))

        return self.confirm(
            request,
            again,
            title=_("Send %(event)s again") % {"event": delivery.event.type},
            consequences=[_("The receiver gets it under the same webhook-id, and may pass over what it has already.")],
            submit_label=_("Send it again"),
            cancel_url=self.url("change", delivery.pk),
        )


def _delivery_url(pk: int) -> str:
    return DeliveryAdmin(Delivery, admin.site).url("change", pk)
