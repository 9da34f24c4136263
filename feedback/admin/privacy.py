"""The administrators' pages of what of texts a team keeps."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.models import Privacy
from feedback.services import privacy
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, badge, link, sent

KINDS = [
    ("email", _("E-mail addresses")),
    ("iban", _("IBANs")),
    ("card", _("Card numbers")),
    ("phone", _("Phone numbers")),
]


def _fields() -> dict[str, forms.Field]:
    return {
        "keeps_text": forms.BooleanField(
            label=_("Keep texts"),
            required=False,
            help_text=_("Without it only numbers are kept; texts go ten minutes after an answer, comments at once."),
        ),
        "masked": forms.MultipleChoiceField(
            label=_("Replaced in what is kept"),
            choices=KINDS,
            required=False,
            widget=forms.CheckboxSelectMultiple,
            help_text=_("In comments at once, in conversations within two minutes of an answer. There is no way back."),
        ),
    }


class PrivacyForm(HouseForm):
    """What a team keeps."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())


class NewPrivacyForm(TeamForm):
    """What a team keeps that kept everything so far."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())


@admin.register(Privacy)
class PrivacyAdmin(HouseAdmin):
    view_capability = write_capability = privacy.ADMIN
    list_title = _("What is kept")
    add_label = _("Choose what is kept")
    empty_title = _("Everything is kept as it is written")
    empty_text = _("Texts can be kept without addresses and numbers, or not at all. What is counted stays.")
    list_display = ["team_link", "texts", "replaced"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    @admin.display(description=_("Team"))
    def team_link(self, row: Privacy) -> SafeString:
        return link(self.url("change", row.pk), str(row.team))

    @admin.display(description=_("Texts"))
    def texts(self, row: Privacy) -> SafeString:
        return badge(_("Kept")) if row.keeps_text else badge(_("Not kept"), "ok")

    @admin.display(description=_("Replaced"))
    def replaced(self, row: Privacy) -> str:
        return ", ".join(str(label) for kind, label in KINDS if kind in row.masked.split()) or "–"

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Choose what a team keeps."""
        actor = acting(request)
        form = NewPrivacyForm(
            sent(request), actor=actor, capability=self.write_capability, initial={"keeps_text": True}
        )

        def make(filled: dict[str, Any]) -> HttpResponse:
            told = {name: filled[name] for name in ("masked", "keeps_text")}
            privacy.set_privacy(actor, form.chosen_team(), **told)
            return self.said(request, gettext("Saved."), self.url("changelist"))

        title, cancel_url = self.add_label, self.url("changelist")
        return self.form_page(request, form, make, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Change what a team keeps."""
        initial = {"keeps_text": thing.keeps_text, "masked": thing.masked.split()}
        form = PrivacyForm(sent(request), initial=initial)

        def change(filled: dict[str, Any]) -> HttpResponse:
            told = {name: filled[name] for name in ("masked", "keeps_text")}
            privacy.set_privacy(acting(request), thing.team, **told)
            return self.said(request, gettext("Saved."), self.url("changelist"))

        title = gettext("What %(team)s keeps") % {"team": thing.team}
        cancel_url = self.url("changelist")
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)
