"""Fields that a team adds to its prompts, and the form rows in which prompts get their values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms.boundfield import BoundField
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, link, sent
from promptlab.lib.errors import FieldProblem
from prompts.models import MetadataField, MetadataValue, Prompt
from prompts.querysets import counted
from prompts.services import fields
from prompts.services.fields import FieldChanges

PREFIX = "metadata_"


class FieldFields(forms.Form):
    """What a field is, but for its short name."""

    title = forms.CharField(label=_("Title"), max_length=100, error_messages=asks(_("Give the field a title.")))
    type = forms.ChoiceField(label=_("Type"), choices=MetadataField.Type.choices)
    choices = forms.CharField(
        label=_("Choices"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("For one of a list: one choice in each line."),
    )
    position = forms.IntegerField(label=_("Order"), min_value=0, max_value=32767, initial=10)

    def lines(self) -> list[str]:
        """Return the choices of a valid form."""
        return [line.strip() for line in self.cleaned_data["choices"].splitlines() if line.strip()]


class NewFieldForm(FieldFields, TeamForm):
    """A field to be."""

    named = {"field_taken": "key"}
    key = forms.CharField(
        label=_("Short name"), max_length=50, help_text=_("Developers use this name. It never changes.")
    )
    field_order = ("team", "title", "key", "type", "choices", "position")


class FieldForm(FieldFields, HouseForm):
    """A field to change."""

    named = {"field_in_use": "type"}


@admin.register(MetadataField)
class FieldAdmin(HouseAdmin):
    view_capability = "team.admin"
    write_capability = "team.admin"
    list_title = _("Fields of prompts")
    add_label = _("New field")
    empty_title = _("No fields yet")
    empty_text = _("A field is something your team notes about every prompt, such as who it is for.")
    list_display = ["title_link", "key", "type", "values"]
    list_display_links = None
    list_filter = [TeamFilter]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).annotate(value_count=counted(MetadataValue.objects.all(), "field"))

    @admin.display(description=_("Field"), ordering="title")
    def title_link(self, field: MetadataField) -> SafeString:
        return link(self.url("change", field.pk), field.title)

    @admin.display(description=_("Prompts with a value"), ordering="value_count")
    def values(self, field: Any) -> int:
        return field.value_count

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/end/", self.end_page, "end")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Add a field."""
        form = NewFieldForm(sent(request), actor=acting(request), capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            told = {name: filled[name] for name in ("key", "title", "type", "position")}
            made = fields.create_field(acting(request), form.chosen_team().pk, choices=form.lines(), **told)
            message = gettext("%(field)s is ready. Every prompt has it on its settings page.") % {"field": made.title}
            return self.said(request, message, self.url("changelist"))

        return self.form_page(
            request,
            form,
            make,
            title=_("New field"),
            submit_label=_("Add the field"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Change a field; its type stays while prompts have values in it."""
        self.demand(request, self.write_capability, thing)
        initial = {"title": thing.title, "type": thing.type, "position": thing.position}
        form = FieldForm(sent(request), initial={**initial, "choices": "\n".join(thing.choices)})

        def change(filled: dict[str, Any]) -> HttpResponse:
            told = {name: filled[name] for name in ("title", "type", "position")}
            fields.update_field(acting(request), thing, FieldChanges(choices=form.lines(), **told))
            return self.said(request, gettext("The field is saved."), self.url("change", thing.pk))

        return self.form_page(
            request,
            form,
            change,
            template="admin/prompts/field.html",
            title=thing.title,
            field=thing,
            end_url=self.url("end", thing.pk),
            submit_label=_("Save"),
            cancel_url=self.url("changelist"),
        )

    def end_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say how many values go; a POST removes the field."""
        field = self.found(request, pk)
        actor = self.demand(request, self.write_capability, field)

        def end(filled: dict[str, Any]) -> HttpResponse:
            count = fields.delete_field(actor, field)
            told = ngettext(
                "%(field)s is gone, with the value of %(count)s prompt.",
                "%(field)s is gone, with the values of %(count)s prompts.",
                count,
            )
            return self.said(request, told % {"field": field.title, "count": count}, self.url("changelist"))

        count = field.value_count
        goes = ngettext("%(count)s prompt loses its value.", "%(count)s prompts lose their values.", count)
        return self.confirm(
            request,
            end,
            title=_("Delete the field %(field)s") % {"field": field.title},
            consequences=[goes % {"count": count}, _("This cannot be undone.")],
            is_danger=True,
            submit_label=_("Delete the field"),
            cancel_url=self.url("change", field.pk),
        )


class ValuesForm(forms.Form):
    """Mixed into a form of a prompt: a row for each field of its team, after its type."""

    def add_values(self, team_id: int | None, prompt: Prompt | None = None) -> None:
        """Add the rows of a team's fields, filled with what the prompt has: two queries. No team: no rows."""
        values = MetadataValue.objects.with_fields().filter(prompt=prompt) if prompt else ()
        had = {one.field_id: one.value for one in values}
        known = MetadataField.objects.filter(team=team_id) if team_id is not None else ()
        self.value_fields = {PREFIX + one.key: one for one in known}
        for name, field in self.value_fields.items():
            self.fields[name] = _row(field)
            self.initial[name] = fields.said(had.get(field.pk))

    def value_rows(self) -> list[BoundField]:
        """Return the rows, for the template."""
        return [self[name] for name in self.value_fields]

    def value_name(self, problem: FieldProblem) -> str | None:
        """Return the row that a problem is about."""
        name = problem.field.replace("metadata.", PREFIX, 1)
        return name if name in self.value_fields else None

    def values(self) -> dict[str, Any]:
        """Return what a valid form says, by the fields' keys; empty rows say none."""
        return {field.key: self._value(name) for name, field in self.value_fields.items()}

    def _value(self, name: str) -> Any:
        value = self.cleaned_data[name]
        if self.value_fields[name].type == MetadataField.Type.BOOLEAN:
            return {"True": True, "False": False}.get(str(value))
        return None if value == "" else value


def _row(field: MetadataField) -> forms.Field:
    told: dict[str, Any] = {"label": field.title, "required": False}
    kind = field.type
    if kind == MetadataField.Type.NUMBER:
        return forms.DecimalField(**told, max_digits=20, decimal_places=6)
    if kind == MetadataField.Type.BOOLEAN:
        return forms.ChoiceField(**told, choices=[("", _("Not said")), ("True", _("Yes")), ("False", _("No"))])
    if kind == MetadataField.Type.DATE:
        return forms.DateField(**told, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    if kind == MetadataField.Type.CHOICE:
        return forms.ChoiceField(**told, choices=[("", _("Not said")), *((one, one) for one in field.choices)])
    return forms.CharField(**told, max_length=fields.LONGEST)
