"""Import and export: a download, and an upload that says what it would do before it does it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, TeamForm, acting
from promptlab.lib.errors import DomainError, Invalid
from prompts.admin.imports import latest_imports
from prompts.admin.packing import MOST_BYTES, packed, unpacked
from prompts.models import Collection, Prompt
from prompts.porting import formats
from prompts.porting.bundle import Bundle
from prompts.services import porting
from prompts.services.porting import Plan


class ExportForm(TeamForm):
    """Which prompts, and how they are written."""

    named = {"names": "only"}

    collection = forms.ModelChoiceField(
        Collection.objects.none(), label=_("Prompts"), required=False, empty_label=_("All prompts")
    )
    only = forms.CharField(label=_("Only the one with this short name"), required=False, max_length=255)
    format = forms.ChoiceField(
        label=_("Format"),
        choices=[
            ("yaml", "YAML"),
            ("json", "JSON"),
            ("langfuse", "Langfuse JSON"),
            *((one, one) for one in ("prompt.yml", "dotprompt", "prompty")),
        ],
        required=False,
        help_text=_("The last three hold one prompt, in its newest version."),
    )
    versions = forms.ChoiceField(
        label=_("Versions"),
        choices=[("all", _("All")), ("live", _("Those that are live somewhere")), ("newest", _("The newest"))],
        required=False,
    )

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, capability="prompt.read", **kwargs)
        groups = Collection.objects.visible_to(actor).active()
        self.fields["collection"].queryset = groups  # type: ignore[attr-defined]


class ImportForm(TeamForm):
    """A file or a pasted text. `packed` carries what the preview was made of, byte for byte."""

    file = forms.FileField(label=_("File"), required=False, help_text=_("A bundle, .prompt.yml, .prompty or .prompt."))
    text = forms.CharField(
        label=_("Or paste it here"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono"}),
    )
    name = forms.CharField(
        label=_("Short name"), required=False, max_length=255, help_text=_("Only for a file that gives none.")
    )
    packed = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, capability="prompt.write", **kwargs)

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        given = [name for name in ("file", "text", "packed") if filled.get(name)]
        if not given:
            self.add_error("file", gettext("Choose a file, or paste its text."))
        return filled

    def data_sent(self) -> bytes:
        """Return the file's bytes. Raises Invalid when the page cannot carry them."""
        filled = self.cleaned_data
        if filled.get("file"):
            data: bytes = filled["file"].read(MOST_BYTES + 1)
        elif filled.get("text"):
            data = filled["text"].replace("\r\n", "\n").encode("utf-8", "surrogatepass")
        else:
            data = unpacked(filled["packed"])
        if len(data) > MOST_BYTES:
            raise Invalid.field("file", gettext("The file is too large for this page. Use the API or the command."))
        return data

    def bundle(self) -> tuple[bytes, Bundle]:
        """Return the bytes and what they say. Raises FileInvalid."""
        data = self.data_sent()
        upload = self.cleaned_data.get("file")
        name = self.cleaned_data["name"] or (upload.name.split(".")[0] if upload else "")
        return data, formats.read(data, name=name)


class TransferPages(HouseAdmin):
    """Part of the prompt's admin, which has its address."""

    def transfer_urls(self) -> list[Any]:
        return [self.own("transfer/", self.transfer_page, "transfer")]

    def transfer_page(self, request: HttpRequest) -> HttpResponse:
        """Offer both ways. GET with `format` downloads; POST shows the plan; POST with `go` carries it out."""
        actor = self.demand(request, self.view_capability)
        asked = {"only": request.GET.get("only", "")}
        leaving = ExportForm(request.GET if "format" in request.GET else None, actor=actor, initial=asked)
        if leaving.is_bound and leaving.is_valid():
            try:
                return _exported(actor, leaving)
            except DomainError as error:
                leaving.refuse(error)
        may_write = self.has_add_permission(request)
        coming, shown = None, {}
        if request.method == "POST":
            self.demand(request, self.write_capability)
        if may_write:
            coming = ImportForm(request.POST or None, request.FILES or None, actor=actor)
            if request.method == "POST" and coming.is_valid():
                done = self._taken(request, coming)
                if isinstance(done, HttpResponse):
                    return done
                shown = done
        title = _("Import and export")
        return self.page(
            request, "admin/prompts/transfer.html", title=title, export_form=leaving, form=coming,
            cancel_url=self.url("transfer"), imports=latest_imports(actor), **shown,
        )  # fmt: skip

    def _taken(self, request: HttpRequest, form: ImportForm) -> HttpResponse | dict[str, Any]:
        """Carry the import out and say so; or return the plan to be shown."""
        actor, team_id = acting(request), form.chosen_team().pk
        try:
            data, bundle = form.bundle()
            if "go" in request.POST:
                plan = porting.run_import(actor, bundle, team_id)
                onwards = self.url("import", plan.import_id) if plan.import_id else self.url("changelist")
                return self.said(request, _done(plan), onwards)
            plan = porting.plan_import(actor, bundle, team_id)
        except DomainError as error:
            form.refuse(error)
            return {}
        notices = [*plan.notices, *(notice for item in plan.items for notice in item.notices)]
        again = {"packed": packed(data), "team": team_id, "name": form.cleaned_data["name"]}
        upload = form.cleaned_data.get("file")
        if upload and not again["name"]:
            again["name"] = upload.name.split(".")[0][:255]
        return {"plan": plan, "notices": notices, "again": again, "may_go": plan.changes and not plan.problems}


def _exported(actor: Principal, form: ExportForm) -> HttpResponse:
    chosen = form.cleaned_data
    rows = Prompt.objects.filter(team=form.chosen_team()).active()
    if chosen["collection"]:
        rows = rows.filter(collection=chosen["collection"])
    if chosen["only"]:
        rows = rows.filter(name=chosen["only"])
        if not rows.visible_to(actor).exists():
            raise Invalid.field("only", gettext("There is no prompt with this short name."), code="prompt_not_found")
    format = chosen["format"] or "yaml"
    text = formats.write(porting.export_prompts(actor, rows, versions=chosen["versions"] or "all"), format)
    answer = HttpResponse(text.encode(), content_type=formats.content_type(format))
    answer["Content-Disposition"] = f'attachment; filename="{formats.file_name(format)}"'
    return answer


def _done(plan: Plan) -> str:
    count = sum(item.outcome in ("new", "changed") for item in plan.items)
    sentence = ngettext("%(count)s prompt is imported.", "%(count)s prompts are imported.", count) % {"count": count}
    return f"{sentence} {gettext('What is live did not change.')}"
