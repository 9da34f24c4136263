"""The administrators' pages of what a team never sends to a model as it is: kinds of values, and patterns of its own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, link, sent
from promptlab.lib.errors import Invalid
from promptlab.llm import finding
from promptlab.llm.admin.provider_forms import MASKED
from promptlab.llm.finding import Masks
from promptlab.llm.models import Masking
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.routes import read_masks
from promptlab.llm.services import hiding

LONGEST = finding.MAX_PATTERNS * (finding.MAX_PATTERN + 30)


def _fields() -> dict[str, forms.Field]:
    return {
        "kinds": forms.MultipleChoiceField(
            label=_("Replaced before every call"),
            choices=list(MASKED.items()),
            required=False,
            widget=forms.CheckboxSelectMultiple,
            help_text=_("Whoever answers. Providers get tokens such as [EMAIL_1]; callers get the values back."),
        ),
        "patterns": forms.CharField(
            label=_("Patterns of your own"),
            max_length=LONGEST,
            required=False,
            widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
            help_text=_("One in a line: name = pattern, such as order = ORD-[0-9]{6}."),
        ),
    }


class MaskingForm(HouseForm):
    """What a team replaces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())


class NewMaskingForm(TeamForm):
    """What a team replaces that replaced nothing so far."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())


@admin.register(Masking)
class MaskingAdmin(HouseAdmin):
    view_capability = write_capability = CAPABILITY
    list_title = _("What does not leave")
    add_label = _("Choose what does not leave")
    empty_title = _("Everything leaves as it is written")
    empty_text = _(
        "E-mail addresses, numbers and patterns of your own can leave as tokens and come back in the answers."
    )
    list_display = ["team_link", "kinds_shown", "patterns_shown"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    @admin.display(description=_("Team"))
    def team_link(self, masking: Masking) -> SafeString:
        return link(self.url("change", masking.pk), str(masking.team))

    @admin.display(description=_("Replaced before every call"))
    def kinds_shown(self, masking: Masking) -> str:
        return _kinds(read_masks(masking.team_id))

    @admin.display(description=_("Patterns of your own"))
    def patterns_shown(self, masking: Masking) -> str:
        return ", ".join(name for name, _pattern in read_masks(masking.team_id).patterns)

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/edit/", self.edit_page, "edit")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Choose what a team replaces."""
        actor = acting(request)
        form = NewMaskingForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            team = form.chosen_team()
            patterns = {**dict(read_masks(team.pk).patterns), **_patterns(filled["patterns"])}
            kinds = [*read_masks(team.pk).kinds, *filled["kinds"]]
            hiding.set_masking(actor, team.pk, kinds=kinds, patterns=patterns)
            return self.said(request, gettext("Saved."), self.url("change", Masking.objects.get(team=team).pk))

        title, cancel_url = self.add_label, self.url("changelist")
        return self.form_page(request, form, make, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what a team replaces."""
        masks = read_masks(thing.team_id)
        patterns = format_html_join("", "<div><b>{}</b> <code>{}</code></div>", masks.patterns)
        facts = [
            (_("Team"), thing.team),
            (_("Replaced before every call"), _kinds(masks) or _("Nothing")),
            (_("Patterns of your own"), patterns or _("None")),
            (_("How often"), _("Counted at /metrics by kind (promptlab_llm_masked_total). No value is ever logged.")),
        ]
        actions = [{"label": _("Change…"), "url": self.url("edit", thing.pk), "kind": ""}]
        return self.page(request, "admin/accounts/facts.html", title=self.list_title, facts=facts, actions=actions)

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change what a team replaces."""
        masking = self.found(request, pk)
        actor = self.demand(request, self.write_capability, masking)
        masks = read_masks(masking.team_id)
        written = "\n".join(f"{name} = {pattern}" for name, pattern in masks.patterns)
        form = MaskingForm(sent(request), initial={"kinds": list(masks.kinds), "patterns": written})

        def change(filled: dict[str, Any]) -> HttpResponse:
            said = _patterns(filled["patterns"])
            hiding.set_masking(actor, masking.team_id, kinds=filled["kinds"], patterns=said)
            return self.said(request, gettext("Saved."), self.url("change", masking.pk))

        title, cancel_url = _("Change what does not leave"), self.url("change", pk)
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)


def _kinds(masks: Masks) -> str:
    return ", ".join(str(MASKED[kind]) for kind in masks.kinds)


def _patterns(written: str) -> dict[str, str]:
    """Return the patterns by their names. Raises Invalid for a line that is none, and for a name that is there twice."""
    found: dict[str, str] = {}
    for line in written.splitlines():
        if not line.strip():
            continue
        name, has_pattern, pattern = line.partition("=")
        name = name.strip()
        if not has_pattern or not pattern.strip() or name in found:
            detail = gettext("A line is a name, an equals sign and a pattern; each name once: %(line)s")
            raise Invalid.field("patterns", detail % {"line": line.strip()[:80]})
        found[name] = pattern.strip()
    return found
