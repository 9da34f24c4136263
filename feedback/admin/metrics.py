"""The administrators' pages of what may be said of answers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.models import Metric
from feedback.services import metrics
from feedback.services.metrics import MetricChanges
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, badge, link, sent

Kind = Metric.Kind


class MetricFields(forms.Form):
    """What may be changed of a metric."""

    title = forms.CharField(label=_("Title"), max_length=100, error_messages=asks(_("Give the metric a title.")))
    low = forms.FloatField(label=_("Lowest"), initial=0, required=False, help_text=_("For a number in a range."))
    high = forms.FloatField(label=_("Highest"), initial=1, required=False)
    categories = forms.CharField(
        label=_("List"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("For one of a list: one word or phrase in each line."),
    )
    is_higher_better = forms.BooleanField(label=_("More is better"), initial=True, required=False)

    def changes(self) -> MetricChanges:
        """Return what a valid form says."""
        said = self.cleaned_data
        found: MetricChanges = {"title": said["title"], "is_higher_better": said["is_higher_better"]}
        found["categories"] = [line.strip() for line in said["categories"].splitlines() if line.strip()]
        for name in ("low", "high"):
            if said[name] is not None:
                found[name] = said[name]  # type: ignore[literal-required]
        return found


class NewMetricForm(MetricFields, TeamForm):
    """A metric to be."""

    named = {"metric_taken": "key"}
    key = forms.CharField(
        label=_("Short name"), max_length=50, help_text=_("Developers use this name. It never changes.")
    )
    kind = forms.ChoiceField(label=_("What is said"), choices=Kind.choices)
    field_order = ("team", "title", "key", "kind", "low", "high", "categories", "is_higher_better")


class MetricForm(MetricFields, HouseForm):
    """A metric to change."""

    is_archived = forms.BooleanField(
        label=_("Put away"), required=False, help_text=_("Nothing more is said in it. What was said stays.")
    )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = {"categories"} if kind == Kind.SCORE else {"low", "high"}
        for name in others if kind in (Kind.SCORE, Kind.CATEGORY) else {"categories", "low", "high"}:
            self.fields[name].widget = forms.HiddenInput()


@admin.register(Metric)
class MetricAdmin(HouseAdmin):
    view_capability = write_capability = metrics.ADMIN
    list_title = _("What may be said")
    add_label = _("New metric")
    empty_title = _("Thumbs up and down")
    empty_text = _("Apps can always send these. Declare what else may be said of answers, such as how exact they are.")
    list_display = ["title_link", "key", "kind", "takes", "state"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    @admin.display(description=_("Metric"))
    def title_link(self, metric: Metric) -> SafeString:
        return link(self.url("change", metric.pk), metric.title)

    @admin.display(description=_("Takes"))
    def takes(self, metric: Metric) -> str:
        if metric.kind == Kind.SCORE:
            return gettext("%(low)g to %(high)g") % {"low": metric.low, "high": metric.high}
        return ", ".join(metric.categories) or "–"

    @admin.display(description=_("State"))
    def state(self, metric: Metric) -> SafeString:
        return badge(_("Put away")) if metric.archived_at else badge(_("In use"), "ok")

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Declare a metric."""
        actor = acting(request)
        form = NewMetricForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            told = {**form.changes(), "key": filled["key"], "kind": filled["kind"]}
            made = metrics.declare_metric(actor, form.chosen_team().pk, **told)
            message = gettext("Apps can now say %(metric)s.") % {"metric": made.key}
            return self.said(request, message, self.url("changelist"))

        title, label = _("New metric"), _("Declare the metric")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Change a metric; its short name and kind stay."""
        names = ("title", "low", "high", "is_higher_better")
        initial = {**{name: getattr(thing, name) for name in names}, "categories": "\n".join(thing.categories)}
        initial["is_archived"] = thing.archived_at is not None
        form = MetricForm(sent(request), initial=initial, kind=thing.kind)

        def change(filled: dict[str, Any]) -> HttpResponse:
            changes = form.changes()
            changes["is_archived"] = filled["is_archived"]
            metrics.change_metric(acting(request), thing, changes)
            return self.said(request, gettext("The metric is saved."), self.url("change", thing.pk))

        lead = f"{thing.key}: {thing.get_kind_display()}"
        cancel_url = self.url("changelist")
        return self.form_page(
            request, form, change, title=thing.title, lead=lead, submit_label=_("Save"), cancel_url=cancel_url
        )
