"""Cases from files: what is sent, and what a preview shows of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseForm
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.admin.packing import MOST_BYTES, unpacked
from prompts.admin.suite_forms import checks_shown
from prompts.checks.cases import Case
from prompts.porting.cases import FORMATS


class CasesFileForm(HouseForm):
    """A file of cases. `packed` carries what the preview was made of, byte for byte."""

    file = forms.FileField(label=_("File"), required=False)
    packed = forms.CharField(required=False, widget=forms.HiddenInput)
    format = forms.ChoiceField(
        label=_("Format"),
        choices=list(zip(FORMATS, (_("CSV (a table)"), _("Lines of JSON"), "promptfoo (YAML)"), strict=True)),
    )
    judge = forms.CharField(
        label=_("Short name of the prompt that judges"),
        required=False,
        max_length=255,
        help_text=_("Only for promptfoo's llm-rubric."),
    )

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if not filled.get("file") and not filled.get("packed"):
            self.add_error("file", gettext("Choose a file."))
        return filled

    def data_sent(self) -> bytes:
        """Return the file's bytes. Raises Invalid when the page cannot carry them."""
        if self.cleaned_data.get("file"):
            data: bytes = self.cleaned_data["file"].read(MOST_BYTES + 1)
        else:
            data = unpacked(self.cleaned_data["packed"])
        if len(data) > MOST_BYTES:
            raise Invalid.field("file", gettext("The file is too large for this page. Use the API or the command."))
        return data

    def field_of(self, problem: FieldProblem) -> str | None:
        return super().field_of(problem) or "file"


def case_planned(case: Case) -> dict[str, Any]:
    """Return what a preview shows of a case."""
    said = [one["content"] for one in case.messages]
    return {
        "name": case.name,
        "is_required": case.required,
        "asked": [*(f"{name}: {value}" for name, value in case.variables.items()), *said],
        "expected": case.expected,
        "checks": checks_shown(case.checks),
    }
