"""Texts of a version for certain models, as people write them: in each row a model, and what that one is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab import llm
from promptlab.lib.errors import FieldProblem
from promptlab.llm.routes import offered_models
from prompts import diff
from prompts.models import Prompt, Version
from prompts.services.wording import MAX_OTHERS, ROLES

MODEL, TEXT = "other_model_", "other_text_"
HEAD = re.compile(r"^\[(\w+)\]$", re.MULTILINE)
FIELD = re.compile(r"model_texts\.(.*?)(?:\.\d+(?:\.\w+)?)?\Z")


class ModelTextFields(forms.Form):
    """A row for every text there is, and one more. An empty text takes it away; a page without rows leaves all as they are."""

    kind: str | None

    def add_model_texts(self, texts: Mapping[str, Any], team_id: int) -> None:
        """Add the rows: as many as there are texts, or as were sent."""
        there = list(texts.items())[:MAX_OTHERS]
        sent = sum(1 for row in range(MAX_OTHERS) if f"{TEXT}{row}" in self.data)
        self.other_rows = max(min(len(there) + 1, MAX_OTHERS), sent)
        names = dict.fromkeys([*texts, *(name for name, _of in offered_models(team_id)), *llm.model_names()])
        choices = [("", _("Choose a model")), *((name, name) for name in names if name)]
        for row in range(self.other_rows):
            name, text = there[row] if row < len(there) else ("", "")
            number = {"number": row + 1}
            self.fields[f"{MODEL}{row}"] = forms.CharField(
                label=_("Model of text %(number)s") % number,
                required=False,
                initial=name,
                widget=forms.Select(choices=choices),
            )
            self.fields[f"{TEXT}{row}"] = forms.CharField(
                label=_("Text %(number)s") % number,
                required=False,
                strip=False,
                initial=written(text),
                widget=forms.Textarea(attrs={"class": "mono", "rows": 6 if text else 3}),
            )

    def model_text_fields(self) -> list[BoundField]:
        """Return the fields in their order, for the template."""
        return [self[f"{kind}{row}"] for row in range(self.other_rows) for kind in (MODEL, TEXT)]

    def model_texts_written(self) -> int:
        """Return how many texts there are."""
        return sum(1 for row in range(self.other_rows) if self[f"{TEXT}{row}"].value())

    def has_model_text_errors(self) -> bool:
        return any(field.errors for field in self.model_text_fields())

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        seen: set[str] = set()
        for row in self._filled(filled):
            name = filled.get(f"{MODEL}{row}", "")
            if not name:
                self.add_error(f"{MODEL}{row}", gettext("Choose the model that this text is for."))
            elif name in seen:
                self.add_error(f"{MODEL}{row}", gettext("There is another text for this model."))
            seen.add(name)
        return filled

    def model_texts(self, like: Version | None) -> Mapping[str, Any]:
        """Return what a valid form says; rows that were not on the page stay as they are in `like`."""
        if not self.sends_model_texts():
            return like.model_texts if like else {}
        return self._texts(self.cleaned_data)

    def sends_model_texts(self) -> bool:
        """Tell whether the page that was sent had the rows."""
        return f"{TEXT}0" in self.data

    def typed_model_texts(self) -> dict[str, Any]:
        """Return what was typed as a draft's body has it, errors and all; a text without a model stands under no name."""
        return {"model_texts": self._texts(self.data)} if self.sends_model_texts() else {}

    def field_of(self, problem: FieldProblem) -> str | None:
        about = FIELD.match(problem.field)
        for row in self._filled(self.data) if about else ():
            if about is not None and self.data.get(f"{MODEL}{row}") == about[1]:
                return f"{TEXT}{row}"
        found: str | None = super().field_of(problem)  # type: ignore[misc]
        return found

    def _filled(self, data: Mapping[str, Any]) -> list[int]:
        return [row for row in range(self.other_rows) if str(data.get(f"{TEXT}{row}", "")).strip()]

    def _texts(self, data: Mapping[str, Any]) -> dict[str, Any]:
        is_chat = self.kind == Prompt.Type.CHAT
        texts = {str(data.get(f"{MODEL}{row}", ""))[:100]: str(data[f"{TEXT}{row}"]) for row in self._filled(data)}
        return {name: read(text.replace("\r\n", "\n"), is_chat=is_chat) for name, text in texts.items()}


def written(text: str | Sequence[Mapping[str, str]]) -> str:
    """Return a text as it is written in a field: messages under their roles, or as JSON where these would be misread."""
    if isinstance(text, str):
        return text
    shown = diff.read(text)
    return shown if read(shown, is_chat=True) == list(text) else json.dumps(text, ensure_ascii=False, indent=2)


def read(text: str, *, is_chat: bool) -> str | list[Any]:
    """Return what was written in a field: in a chat prompt messages, each after a line such as [user]."""
    if not is_chat:
        return text
    if text.lstrip().startswith("[{") or text.lstrip().startswith("[\n"):
        try:
            found = json.loads(text)
        except ValueError:
            return [{"role": "", "content": text}]
        return found if isinstance(found, list) else [found]
    before, *pieces = HEAD.split(text)
    parts = [_part(head, said) for head, said in zip(pieces[::2], pieces[1::2], strict=True)]
    return [{"role": "", "content": before}, *parts] if before.strip() else parts


def _part(head: str, said: str) -> dict[str, str]:
    if head not in ROLES:
        return {"placeholder": head}
    return {"role": head, "content": said.removeprefix("\n").removesuffix("\n\n")}
