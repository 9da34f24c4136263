"""What developers say beside the text: syntax, declared blanks, where to stop, tools, the shape of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.lib.errors import Invalid
from promptlab.lib.formats import fmt_name
from prompts import snippets
from prompts.admin.shown import page_of
from prompts.models import Prompt, Version

EMPTY: Mapping[str, Any] = {
    "syntax": Version.Syntax.MUSTACHE_LITE.value, "variables": {}, "output_schema": {}, "stop": [], "tools": [],
}  # fmt: skip
KINDS = {
    "string": _("text"),
    "number": _("a number"),
    "boolean": _("yes or no"),
    "list": _("a list"),
    "object": _("an object"),
}


class JsonArea(forms.JSONField):
    """JSON of one kind, `dict` or `list`; what is empty is an empty area."""

    def __init__(self, *, kind: type, rows: int = 4, **kwargs: Any) -> None:
        area = forms.Textarea(attrs={"class": "mono", "rows": rows, "spellcheck": "false"})
        super().__init__(required=False, widget=area, **kwargs)
        self.kind = kind

    def prepare_value(self, value: Any) -> Any:
        if not value or isinstance(value, str):
            return value or ""
        return json.dumps(value, ensure_ascii=False, indent=2)

    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        if found is None:
            return self.kind()
        if not isinstance(found, self.kind):
            shape = gettext("keys with values: {…}") if self.kind is dict else gettext("a list: […]")
            raise ValidationError(gettext("Write %(shape)s") % {"shape": shape})
        return found


class TechnicalFields(forms.Form):
    """The fields that most people leave as they are; the page folds them away."""

    syntax = forms.ChoiceField(
        label=_("Syntax"),
        choices=Version.Syntax.choices,
        required=False,
        help_text=_(
            "How blanks are written. A text that is included has the same syntax as the text that includes it."
        ),
    )
    variables = JsonArea(
        kind=dict,
        label=_("Blanks"),
        help_text=_(
            "What may be filled in. Each has type, required, default, allowed, max_length, description, example."
        ),
    )
    stop = JsonArea(kind=list, rows=2, label=_("Stop at"), help_text=_('Texts that end the answer, such as ["END"].'))
    tools = JsonArea(kind=list, label=_("Tools"), help_text=_("Functions that the model may ask for."))
    output_schema = JsonArea(kind=dict, label=_("Shape of the answer"), help_text=_("A JSON schema."))

    def told(self, like: Version | None) -> dict[str, Any]:
        """Return what a valid form says; a field that was not on the page stays as it is in `like`."""
        found = {name: getattr(like, name) if like else empty for name, empty in EMPTY.items()}
        sent = {name: self.cleaned_data[name] for name in EMPTY if name in self.data}
        return {**found, **sent, "syntax": sent.get("syntax") or found["syntax"]}

    def typed_settings(self) -> dict[str, Any]:
        """Return what was typed, whether the rest is valid or not. Raises Invalid naming a field that is no JSON."""
        found: dict[str, Any] = {}
        for name in EMPTY:
            if name in self.data:
                try:
                    found[name] = self.fields[name].clean(self.data[name])
                except ValidationError as error:
                    raise Invalid.field(name, " ".join(error.messages)) from error
        return found

    def technical_fields(self) -> list[forms.BoundField]:
        """Return the fields that are folded away."""
        return [self[name] for name in EMPTY if name != "syntax"]

    def has_technical_errors(self) -> bool:
        return any(field.errors for field in self.technical_fields())


def technical_initial(version: Version) -> dict[str, Any]:
    """Return what the fields begin with."""
    return {name: getattr(version, name) for name in EMPTY}


def contract_of(variables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each blank with what may be filled in, in words."""
    return [{"name": name, "words": _words(spec)} for name, spec in variables.items()]


def _words(spec: Mapping[str, Any]) -> str:
    told = [str(KINDS.get(spec.get("type", "string"), spec.get("type")))]
    if "default" in spec:
        told.append(gettext("else %(value)s") % {"value": json.dumps(spec["default"], ensure_ascii=False)})
    elif not spec.get("required", True):
        told.append(gettext("may be left out"))
    if spec.get("allowed"):
        values = ", ".join(json.dumps(value, ensure_ascii=False) for value in spec["allowed"])
        told.append(gettext("one of %(values)s") % {"values": values})
    if spec.get("max_length"):
        told.append(gettext("at most %(number)s long") % {"number": spec["max_length"]})
    if spec.get("description"):
        told.append(str(spec["description"]))
    return ", ".join(told)


def settings_of(version: Version) -> list[tuple[Any, Any]]:
    """Return (setting, value) of what a version says beside text and blanks; what it does not say is left out."""
    names = [tool.get("function", {}).get("name", "") for tool in version.tools]
    rows = [
        (_("Syntax"), version.get_syntax_display() if version.syntax != EMPTY["syntax"] else ""),
        (_("Stop at"), ", ".join(json.dumps(text, ensure_ascii=False) for text in version.stop)),
        (_("Tools"), ", ".join(names)),
        (
            _("Shape of the answer"),
            json.dumps(version.output_schema, ensure_ascii=False) if version.output_schema else "",
        ),
        (_("Texts for other models"), ", ".join(version.model_texts)),
        (_("Includes"), ", ".join(snippets.included_in(version))),
    ]
    return [row for row in rows if row[1]]


def uses_of(actor: Principal, prompt: Prompt) -> list[dict[str, Any]]:
    """Return the prompts that include this one and may be seen, for links: title, address, and where that is live."""
    if not getattr(prompt, "has_users", True):
        return []
    return [
        {
            "title": use.prompt.title,
            "url": page_of("prompt_change", use.prompt.pk),
            "live": ", ".join(f"{fmt_name(where)} v{number}" for where, number in use.live.items()),
        }
        for use in snippets.where_used(prompt, Prompt.objects.visible_to(actor))
    ]


def also_changed(users: Iterable[Version]) -> str:
    """Return the titles of the prompts that include another one (`snippets.live_includers`); empty for none."""
    return ", ".join(sorted(one.prompt.title for one in users))
