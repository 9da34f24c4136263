"""What somebody says who tries a prompt: which text of it, which model, what goes into its blanks, and a message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.template import TemplateSyntaxError

from promptlab.accounts.modeladmin import HouseForm, asks
from promptlab.chat.services.conversations import MAX_TITLE
from promptlab.chat.services.turn import MAX_MESSAGE
from promptlab.lib.errors import FieldProblem
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.offering import offers
from prompts import rendering, sandbox
from prompts.models import Prompt, Version

BLANK = "blank_"
TIER, MODEL = "tier:", "model:"
MOST_PROMPTS = 200
MOST_VERSIONS = 50

Choices = list[tuple[str, Any]]


class PickForm(forms.Form):
    """Which prompt, which text of it, and who answers. Sent by GET: the address says what is tried."""

    prompt = forms.ModelChoiceField(Prompt.objects.none(), label=_("Prompt"), empty_label=_("Choose a prompt"))
    text = forms.ChoiceField(label=_("Text"))
    model = forms.ChoiceField(label=_("Model"), required=False)

    def __init__(self, *args: Any, prompts: Sequence[Prompt], prompt: Prompt | None, texts: Choices, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["prompt"].choices = [("", _("Choose a prompt")), *((one.pk, one.title) for one in prompts)]  # type: ignore[attr-defined]
        if prompt is None:
            del self.fields["text"], self.fields["model"]
            return
        self.fields["text"].choices = texts  # type: ignore[attr-defined]
        self.fields["model"].choices = models_of(prompt.team_id)  # type: ignore[attr-defined]


class SideForm(PickForm):
    """Two texts of a prompt, or two models, to be asked the same."""

    other_text = forms.ChoiceField(label=_("The other text"))
    other_model = forms.ChoiceField(label=_("The other model"), required=False)

    def __init__(self, *args: Any, prompt: Prompt, texts: Choices, **kwargs: Any) -> None:
        super().__init__(*args, prompts=[prompt], prompt=prompt, texts=texts, **kwargs)
        self.fields["prompt"].widget = forms.HiddenInput()
        self.fields["other_text"].choices = texts  # type: ignore[attr-defined]
        self.fields["other_model"].choices = self.fields["model"].choices  # type: ignore[attr-defined]


class SayForm(HouseForm):
    """A message, and a field for every blank of the text that is tried; of two texts, for every blank of both."""

    named = {"message": "message"}
    message = forms.CharField(
        label=_("Your message"),
        max_length=MAX_MESSAGE,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages=asks(_("Write what a user would say.")),
    )

    def __init__(
        self,
        *args: Any,
        version: Version | None,
        other: Version | None = None,
        filled: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.names = {**(blanks_of(other) if other else {}), **(blanks_of(version) if version else {})}
        for name, spec in self.names.items():
            self.fields[f"{BLANK}{name}"] = _field(name, spec, (filled or {}).get(name))

    @property
    def blanks(self) -> list[BoundField]:
        """The fields of the blanks."""
        return [self[f"{BLANK}{name}"] for name in self.names]

    def variables(self, only: Version | None = None) -> dict[str, Any]:
        """Return what a valid form fills in, of one text `only`; what was left empty is left to its default."""
        names = blanks_of(only) if only else self.names
        said = {name: self.cleaned_data[f"{BLANK}{name}"] for name in names}
        return {name: _plain(value) for name, value in said.items() if value not in ("", None)}

    def field_of(self, problem: FieldProblem) -> str | None:
        """Return the field of a blank that is wrong, else what other forms do."""
        name = f"{BLANK}{problem.field.removeprefix('variables.')}"
        return name if name in self.fields else super().field_of(problem)


class TitleForm(HouseForm):
    """What a talk is called."""

    title = forms.CharField(label=_("Name of this talk"), max_length=MAX_TITLE, required=False)


class JsonText(forms.CharField):
    """A list or an object, written as JSON."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise ValidationError(
                gettext("Write it as JSON, such as %(example)s") % {"example": '["a", "b"]'}
            ) from None


def texts_of(prompt: Any) -> Choices:
    """Return the texts of a prompt that can be tried: what is live, then its newest versions. One query.

    The prompt was fetched `for_section`.
    """
    found: Choices = [
        (
            one.environment.name,
            gettext("Live in %(where)s: v%(number)s") % {"where": one.environment, "number": one.version.number},
        )
        for one in reversed(prompt.live)
    ]
    rows = Version.objects.filter(prompt=prompt).newest_first().only("number", "version_string")[:MOST_VERSIONS]
    named = ((one.number, f" ({one.version_string})" if one.version_string else "") for one in rows)
    return [*found, *((str(number), f"v{number}{name}") for number, name in named)]


def models_of(team_id: int) -> Choices:
    """Return who may answer: whoever the version names, a tier, or a model that may be named."""
    offered = offers(team_id)
    tiers = {one.tier for one in offered if one.tier}
    return [
        ("", _("The one the text names")),
        *((f"{TIER}{tier}", label) for tier, label in LanguageModel.Tier.choices if tier in tiers),
        *((f"{MODEL}{one.name}", _named(one.name)) for one in offered),
    ]


def _plain(value: Any) -> Any:
    """Return a value as it is filled in: a whole number without its point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _named(model: str) -> str:
    return gettext("Practice (echo)") if model == Provider.Kind.ECHO else model


def chosen_model(choice: str) -> dict[str, str]:
    """Return the model or the tier of a choice, as a turn takes it."""
    if choice.startswith(TIER):
        return {"tier": choice.removeprefix(TIER)}
    return {"model": choice.removeprefix(MODEL)}


def blanks_of(version: Version) -> dict[str, Mapping[str, Any]]:
    """Return the blanks of a version, each with what is declared about it."""
    try:
        used = rendering.blanks_of(version.content)
    except (TemplateSyntaxError, sandbox.Refused):
        used = {}
    return {**{name: {"type": kind} for name, kind in used.items()}, **version.variables}


def _field(name: str, spec: Mapping[str, Any], filled: Any) -> forms.Field:
    """Return the field for one blank."""
    kind, default = spec.get("type", "string"), spec.get("default")
    initial = default if filled is None else filled
    said: dict[str, Any] = {
        "label": name,
        "help_text": spec.get("description", ""),
        "required": bool(spec.get("required", True)) and default is None,
        "initial": initial,
    }
    allowed = spec.get("allowed")
    if isinstance(allowed, list) and kind in ("string", "number"):
        choices = [("", "–"), *((one, one) for one in allowed)]
        as_kind = float if kind == "number" else str
        return forms.TypedChoiceField(choices=choices, coerce=as_kind, empty_value=None, **said)
    if kind == "boolean":
        return forms.BooleanField(**{**said, "required": False})
    if kind == "number":
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any"}), **said)
    area = forms.Textarea(attrs={"rows": 2})
    if kind in ("list", "object"):
        said["initial"] = json.dumps(initial, ensure_ascii=False) if initial is not None else ""
        return JsonText(widget=area, **said)
    return forms.CharField(strip=False, max_length=spec.get("max_length"), widget=area, **said)
