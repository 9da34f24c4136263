"""What editors fill in: a text or message parts, and the settings of a prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.db.models import Q
from django.forms.boundfield import BoundField
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.spec import Content

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, TeamForm, asks
from promptlab.lib.errors import FieldProblem
from prompts.admin.field import ValuesForm
from prompts.admin.model_texts import ModelTextFields
from prompts.admin.technical import EMPTY, TechnicalFields, technical_initial
from prompts.models import Collection, Draft, Prompt, Version
from prompts.services import authoring, drafting, scanning
from prompts.services.contents import content_of

SPARE_ROWS = 2
LEAST_ROWS = 4
MOST_CHARACTERS = 500
KEPT_AS_TYPED = ("model", "message", "version_string")
"""What a draft keeps besides the text, word for word as it was typed."""
PLACEHOLDER = "placeholder"
ROLES = [
    ("system", _("Instructions (system)")),
    ("user", _("The user says")),
    ("assistant", _("The model says")),
    (PLACEHOLDER, _("The conversation so far")),
]
IN_MESSAGES = re.compile(r"messages\.(\d+)")


def _text_area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "mono", "rows": rows})


class ContentForm(TechnicalFields, HouseForm):
    """A text, or message parts as rows of role and text, or (`kind` None) a choice of both. Empty rows do not count."""

    text = forms.CharField(
        label=_("Prompt text"),
        required=False,
        strip=False,
        widget=_text_area(16),
        help_text=_(
            "Write {{name}} where the app fills something in, {{> tone}} to include the live text of the prompt tone."
        ),
    )
    model = forms.CharField(label=_("Model"), required=False, max_length=100)

    def __init__(self, *args: Any, kind: str | None, parts: Sequence[Mapping[str, Any]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.rows = 0 if kind == Prompt.Type.TEXT else max(LEAST_ROWS, len(parts) + SPARE_ROWS)
        if self.data:
            self.rows = max(self.rows, _rows_sent(self.data))
        for row in range(self.rows):
            self._add_row(row, parts[row] if row < len(parts) else {})
        if kind == Prompt.Type.CHAT:
            del self.fields["text"]
        self.fields["model"].widget = forms.Select(choices=_model_choices(str(self.initial.get("model", ""))))

    def _add_row(self, row: int, part: Mapping[str, Any]) -> None:
        usual = "system" if row == 0 else "user"
        role = PLACEHOLDER if PLACEHOLDER in part else part.get("role", usual)
        self.fields[f"role_{row}"] = forms.ChoiceField(label=_("Who"), choices=ROLES, initial=role, required=False)
        self.fields[f"part_{row}"] = forms.CharField(
            label=_("Message %(number)s") % {"number": row + 1},
            required=False,
            strip=False,
            widget=_text_area(5 if part or row == 0 else 3),
            initial=part.get("content", part.get(PLACEHOLDER, "")),
        )

    def row_fields(self) -> list[tuple[BoundField, BoundField]]:
        """Return the rows' fields, for the template."""
        return [(self[f"role_{row}"], self[f"part_{row}"]) for row in range(self.rows)]

    def filled_rows(self) -> list[int]:
        """Return the rows with something in them."""
        return [row for row in range(self.rows) if self.cleaned_data.get(f"part_{row}", "").strip()]

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if self.kind is None and filled.get("text", "").strip() and self.filled_rows():
            self.add_error("text", gettext("Write one text, or message parts, not both."))
        return filled

    def content(self, like: Version | None = None) -> Content:
        """Return what a valid form says; settings and blanks that it does not show stay as they are in `like`.

        Raises TextInvalid, Invalid.
        """
        filled = self.cleaned_data
        text = _unix(filled.get("text", ""))
        messages = [_part(filled[f"role_{row}"], filled[f"part_{row}"]) for row in self.filled_rows()]
        return content_of(
            text=text if text.strip() and not messages else "",
            messages=messages,
            model=filled["model"],
            parameters=like.parameters if like else None,
            model_texts=self.model_texts(like),
            **self.told(like),
        )

    def model_texts(self, like: Version | None) -> Mapping[str, Any]:
        """Return the texts for certain models; a form without fields for them leaves them as they are in `like`."""
        return like.model_texts if like else {}

    def field_of(self, problem: FieldProblem) -> str | None:
        in_messages = IN_MESSAGES.match(problem.field)
        if in_messages:
            return f"part_{self.filled_rows()[int(in_messages[1])]}"
        if problem.field == "content":
            return "text" if "text" in self.fields else "part_0"
        return super().field_of(problem)


def _rows_sent(data: Mapping[str, Any]) -> int:
    """Return how many rows a browser sent: a form that was opened with more rows keeps them."""
    return sum(1 for row in range(100) if f"part_{row}" in data)


def parts_of(messages: Sequence[Any]) -> list[dict[str, str]]:
    """Return a draft's messages as rows of a form; they may hold anything."""
    parts = [part for part in messages if isinstance(part, Mapping)]
    return [
        {PLACEHOLDER: str(part[PLACEHOLDER])}
        if PLACEHOLDER in part
        else {"role": str(part.get("role", "user")), "content": str(part.get("content", ""))}
        for part in parts
    ]


def _part(role: str, text: str) -> dict[str, str]:
    if role == PLACEHOLDER:
        return {PLACEHOLDER: text.strip()}
    return {"role": role, "content": _unix(text)}


def _unix(text: str) -> str:
    """Return the text with the line ends it was written with: browsers send CR LF, which would look like a change."""
    return text.replace("\r\n", "\n")


def _model_choices(current: str) -> list[tuple[str, Any]]:
    names = dict.fromkeys([current, *llm.model_names()] if current else llm.model_names())
    return [("", _("The default model")), *((name, name) for name in names)]


class SecretFields(forms.Form):
    """Why what looks like a key is none: for who may say so, and nobody else."""

    allow_secret = forms.CharField(
        label=_("Why what looks like a key is none"),
        required=False,
        max_length=500,
        help_text=_("Only if the text was refused for it. It is saved then, and the activity log keeps your reason."),
    )

    def ask_for_secrets(self, may_allow: bool) -> None:
        """Leave the question out where the answer would not count."""
        if not may_allow:
            del self.fields["allow_secret"]


class SettingsFields(forms.Form):
    """What belongs to a prompt, whatever its versions say."""

    title = forms.CharField(label=_("Title"), max_length=200, error_messages=asks(_("Give the prompt a title.")))
    description = forms.CharField(label=_("What it is for"), required=False, widget=forms.Textarea(attrs={"rows": 3}))
    collection = forms.ModelChoiceField(
        Collection.objects.none(), label=_("Collection"), required=False, empty_label=_("In no collection")
    )
    model_type = forms.CharField(
        label=_("Kind of model"),
        required=False,
        max_length=100,
        help_text=_("Such as chat. Lists can be narrowed by it."),
    )
    tags = forms.CharField(label=_("Tags"), required=False, max_length=500, help_text=_("Words, separated by commas."))

    def clean_tags(self) -> tuple[str, ...]:
        words = (word.strip() for word in self.cleaned_data["tags"].split(","))
        return tuple(dict.fromkeys(word for word in words if word))


class NewPromptForm(ValuesForm, SecretFields, SettingsFields, ContentForm, TeamForm):
    """Everything a new prompt may be given; the title and a text are enough."""

    named = {"name_taken": "name", "collection_id": "collection"}
    name = forms.CharField(
        label=_("Short name"),
        required=False,
        max_length=255,
        help_text=_("Developers use this name. It is made of the title if you leave it empty."),
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, capability="prompt.write", kind=None, **kwargs)
        choices = Collection.objects.visible_to(actor).active().filter(team__in=self.team_ids)
        self.fields["collection"].queryset = choices  # type: ignore[attr-defined]
        self.ask_for_secrets(actor.may_anywhere(scanning.CAPABILITY))
        # Whose fields they are is not known before a team is chosen: then the settings page asks.
        self.add_values(self.team_ids[0] if len(self.team_ids) == 1 else None)

    def field_of(self, problem: FieldProblem) -> str | None:
        return self.value_name(problem) or super().field_of(problem)


class SettingsForm(ValuesForm, SettingsFields, HouseForm):
    """A prompt's settings. Its short name stays: applications ask for it."""

    named = {"collection_id": "collection"}

    def __init__(self, *args: Any, prompt: Prompt, actor: Principal, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "title": prompt.title,
            "description": prompt.description,
            "collection": prompt.collection_id,
            "model_type": prompt.model_type,
            "tags": ", ".join(tag.name for tag in prompt.tags.all()),
        }
        super().__init__(*args, **kwargs)
        is_open = Q(archived_at=None) | Q(pk=prompt.collection_id)
        groups = Collection.objects.visible_to(actor).filter(is_open, team=prompt.team_id)
        self.fields["collection"].queryset = groups  # type: ignore[attr-defined]
        self.add_values(prompt.team_id, prompt)

    def field_of(self, problem: FieldProblem) -> str | None:
        return self.value_name(problem) or super().field_of(problem)


class NewVersionForm(SecretFields, ModelTextFields, ContentForm):
    """The newest text or one's own draft, to go on from.

    `started_from` is the number of the newest version when writing began, `row_version` the state of the draft that the
    page was opened with, 0 for none. `base` is where writing began once that was said to be behind.
    """

    named = {"version_string_taken": "version_string"}
    started_from = forms.IntegerField(widget=forms.HiddenInput, min_value=1)
    row_version = forms.IntegerField(widget=forms.HiddenInput, min_value=0, required=False)
    base = forms.IntegerField(widget=forms.HiddenInput, min_value=1, required=False)
    message = forms.CharField(
        label=_("What changed and why"), max_length=500, error_messages=asks(_("Say what changed and why."))
    )
    version_string = forms.CharField(
        label=_("Version name"), required=False, max_length=100, help_text=_("Such as v1.2.0, if you use them.")
    )

    def __init__(
        self, *args: Any, newest: Version, draft: Draft | None = None, may_allow_secret: bool = False, **kwargs: Any
    ) -> None:
        kept = draft.body if draft else {}
        kwargs["initial"] = {
            **technical_initial(newest),
            **{name: kept[name] for name in EMPTY if name in kept},
            "text": kept.get("content", newest.text),
            "model": kept.get("model", newest.model),
            "message": kept.get("message", ""),
            "version_string": kept.get("version_string", ""),
            "started_from": draft.started_from if draft else newest.number,
            "row_version": draft.row_version if draft else 0,
        }
        parts = parts_of(kept["messages"]) if "messages" in kept else newest.messages
        super().__init__(*args, kind=newest.prompt.type, parts=parts, **kwargs)
        self.kept = kept
        self.add_model_texts(kept.get("model_texts", newest.model_texts), newest.prompt.team_id)
        self.ask_for_secrets(may_allow_secret)

    def typed(self) -> dict[str, Any]:
        """Return what was typed as a draft's body, errors and all. What the form does not show stays as it was kept.

        Raises Invalid for settings that are no JSON: they could not be kept.
        """
        body = {name: value for name, value in self.kept.items() if name not in ("content", "messages")}
        if self.kind == Prompt.Type.CHAT:
            rows = range(_rows_sent(self.data))
            parts = [(self.data.get(f"role_{row}", "user"), self.data.get(f"part_{row}", "")) for row in rows]
            body["messages"] = [_part(role, text) for role, text in parts if text.strip()]
        else:
            body["content"] = _unix(self.data.get("text", ""))
        body |= self.typed_settings() | self.typed_model_texts()
        return body | {name: self.data.get(name, "")[:MOST_CHARACTERS] for name in KEPT_AS_TYPED}

    def number(self, name: str) -> int | None:
        """Return a hidden number as it was sent; None for none, or for something else."""
        sent = str(self.data.get(name, ""))
        return int(sent) if sent.isdecimal() else None

    def read(self) -> dict[str, int | None]:
        """Return which states of the draft and of the prompt the page showed."""
        return {name: self.number(name) for name in ("row_version", "started_from")}

    def words(self, like: Version) -> dict[str, Any]:
        """Return what a valid form says as a draft's body. Raises TextInvalid, Invalid."""
        settings = {
            name: self.kept[name] for name in drafting.SETTINGS if name in self.kept and name not in self.fields
        }
        if self.sends_model_texts():
            settings.pop("model_texts", None)
        return {**authoring.said(self.content(like=like)), **settings}
