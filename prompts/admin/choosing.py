"""A form's field to choose a prompt: out of a list while there are few, by name or title where there are many."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.forms.boundfield import BoundField
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from prompts.models import Prompt
from prompts.querysets import PromptQuerySet

FEW = 200
"""Up to so many prompts are a list to choose from."""
SUGGESTED = 100
MOST_NAMED = 10
LONGEST, DIGITS = 255, 18
"""Characters of a name, and of an id."""


class Offered:
    """The prompts that may be chosen, asked for once, however many fields of a form offer them."""

    def __init__(self, rows: PromptQuerySet) -> None:
        self.rows = rows

    @cached_property
    def latest(self) -> list[Prompt]:
        """The prompts changed last: one more than are few, if there are as many."""
        return list(self.rows.order_by("-updated_at", "-pk").only("name", "title")[: FEW + 1])

    @property
    def are_many(self) -> bool:
        return len(self.latest) > FEW

    def said_of(self, pk: int) -> str:
        """Return what to type for a prompt: its name, or its id where prompts of several teams have that name; one query."""
        namesakes = self.rows.filter(name=OuterRef("name")).exclude(pk=OuterRef("pk"))
        found = self.rows.filter(pk=pk).annotate(is_shared=Exists(namesakes)).values_list("name", "is_shared").first()
        return "" if found is None else str(pk) if found[1] else found[0]

    def called(self, said: str) -> list[Prompt]:
        """Return the prompts that somebody can mean: one query. A name goes before titles, in a list an id before both."""
        if len(said) > LONGEST or "\0" in said:
            return []
        meant = Q(name=said) | Q(title__iexact=said)
        has_id = is_id(said)
        if has_id:
            meant |= Q(pk=int(said))
        is_named = Case(When(name=said, then=Value(0)), default=Value(1))
        found = list(self.rows.filter(meant).select_related("team").order_by(is_named, "pk")[: MOST_NAMED + 1])
        first = [one for one in found if has_id and one.pk == int(said)] if not self.are_many else []
        return first or [one for one in found if one.name == said] or found


class NameInput(forms.TextInput):
    """A line to type in, with suggestions below it."""

    def __init__(self, suggested: list[Prompt]) -> None:
        super().__init__({"maxlength": LONGEST, "autocomplete": "off", "spellcheck": "false"})
        self.suggested = suggested

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        listed = f"{name}_suggested"
        line = super().render(name, value, {**(attrs or {}), "list": listed}, renderer)
        options = format_html_join(
            "", '<option value="{}">{}</option>', ((one.name, one.title) for one in self.suggested)
        )
        return format_html('{}<datalist id="{}">{}</datalist>', line, listed, options)


class PromptField(forms.Field):
    """Which prompt. Its form says with `offer` which there are to choose from."""

    widget: Any = forms.Select
    offered = Offered(Prompt.objects.none())
    default_error_messages = {
        "unknown": _("No prompt is called that."),
        "several": _("Several prompts are called that: type the name instead: %(names)s"),
        "same_name": _("Prompts of several teams are called that: type the number instead: %(names)s"),
    }

    def __init__(self, *, empty_label: Any = "---------", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty_label = empty_label

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> BoundField:
        """Look at how many prompts there are only now: a form may have done without the field."""
        if self.offered.are_many:
            self.widget = NameInput(self.offered.latest[:SUGGESTED])
            self.help_text = self._help()
        else:
            nothing = [("", self.empty_label)] if self.empty_label is not None else []
            listed = sorted(self.offered.latest, key=lambda one: (one.title.casefold(), one.pk))
            self.widget = forms.Select(choices=[*nothing, *((one.pk, one.title) for one in listed)])
        self.widget.is_required = self.required
        return super().get_bound_field(form, field_name)

    def _help(self) -> str:
        said = gettext("Type its name or its title. The ones changed last are suggested.")
        empty = "" if self.required else gettext("Empty: “%(meaning)s”.") % {"meaning": self.empty_label}
        return " ".join(filter(None, [said, empty, str(self.help_text)]))

    def prepare_value(self, value: Any) -> Any:
        """Return what the field shows: of a prompt or its id the name; in a list the id, also of a name."""
        said = str(value.pk if isinstance(value, Prompt) else value or "").strip()
        if self.offered.are_many:
            shown = self.offered.said_of(int(said)) if is_id(said) else said
            return shown if shown or isinstance(value, Prompt) else said
        known = next((one for one in self.offered.latest if said in (str(one.pk), one.name)), None)
        return known.pk if known else said

    def to_python(self, value: Any) -> Prompt | None:
        said = str(value or "").strip()
        if not said:
            return None
        found = self.offered.called(said)
        if not found:
            raise ValidationError(self.error_messages["unknown"], "unknown")
        if len(found) > 1:
            raise self._several(found)
        return found[0]

    def _several(self, found: list[Prompt]) -> ValidationError:
        names = [one.name for one in found]
        code = "several" if len(set(names)) == len(names) else "same_name"
        said = names if code == "several" else [f"{one.pk} ({one.team})" for one in found]
        more = ["…"] if len(said) > MOST_NAMED else []
        return ValidationError(self.error_messages[code], code, {"names": ", ".join(said[:MOST_NAMED] + more)})


def is_id(said: str) -> bool:
    """Tell whether that can be an id."""
    return said.isdecimal() and len(said) <= DIGITS


def offer(form: forms.BaseForm, rows: PromptQuerySet, *names: str) -> None:
    """Let the fields of these names offer the prompts."""
    offered = Offered(rows)
    for name in names:
        field = form.fields[name]
        assert isinstance(field, PromptField)
        field.offered = offered
