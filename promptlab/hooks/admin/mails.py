"""Everybody's page on which mails they want; and the administrators' list of what was sent."""

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

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, badge, link, sent
from promptlab.hooks.admin.webhooks import KINDS
from promptlab.hooks.models import Mail, MailKind
from promptlab.hooks.services import choosing
from promptlab.hooks.services.endpoints import CAPABILITY
from promptlab.templatetags.promptlab import when


class ChoicesForm(HouseForm):
    """One box for each kind of mail."""

    kinds = forms.MultipleChoiceField(
        label=_("Send me a mail when"),
        choices=MailKind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Nobody gets a mail about what they did themselves."),
    )


@admin.register(Mail)
class MailAdmin(HouseAdmin):
    view_capability = CAPABILITY
    list_title = _("Mails")
    empty_title = _("No mails yet")
    empty_text = _("Mails to people of your teams are listed here, and how sending them went.")
    list_display = ["what", "user", "status", "attempts", "last_error", "written"]
    list_display_links = None
    list_filter = ["state", "kind", TeamFilter]
    search_fields = ["user__username", "user__email"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("user")

    @admin.display(description=_("About"))
    def what(self, mail: Mail) -> SafeString:
        return link(self.url("change", mail.pk), mail.get_kind_display())

    @admin.display(description=_("State"))
    def status(self, mail: Mail) -> SafeString:
        return badge(mail.get_state_display(), KINDS[Mail.State(mail.state)])

    @admin.display(description=_("Written"))
    def written(self, mail: Mail) -> str:
        return when(mail.created_at)

    def own_urls(self) -> list[Any]:
        return [self.own("choices/", self.choices_page, "choices")]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show how sending a mail went, not what it says."""
        is_waiting = thing.state in Mail.UNSETTLED
        facts = [
            (_("State"), self.status(thing)),
            (_("To"), str(thing.user)),
            (_("Written"), self.written(thing)),
            (_("Attempts"), thing.attempts),
            (_("Next attempt"), when(thing.next_at) if is_waiting else "–"),
            (_("Last error"), thing.last_error or "–"),
            (_("Delivered"), when(thing.delivered_at) if thing.delivered_at else "–"),
        ]
        return self.page(request, "admin/accounts/facts.html", title=thing.get_kind_display(), facts=facts, actions=[])

    def choices_page(self, request: HttpRequest) -> HttpResponse:
        """Let somebody choose which mails they get."""
        actor, here = acting(request), self.url("choices")
        ticked = [kind for kind, is_on in choosing.choices_of(actor.user_id).items() if is_on]
        form = ChoicesForm(sent(request), initial={"kinds": ticked})

        def choose(filled: dict[str, Any]) -> HttpResponse:
            choosing.choose_mails(actor, {kind: kind in filled["kinds"] for kind in MailKind.values})
            return self.said(request, gettext("Saved."), here)

        return self.form_page(
            request,
            form,
            choose,
            title=_("Your mails"),
            lead=_address_line(getattr(request.user, "email", "")),
            submit_label=_("Save"),
            cancel_url=reverse("admin:index"),
            breadcrumbs=[],
        )


def _address_line(address: str) -> str:
    if not address:
        return gettext("You get none: no mail address of yours is known. An administrator can enter it under People.")
    return gettext("They go to %(address)s.") % {"address": address}
