"""What an import did, on a page of its own, and taking it back. The prompt's admin has the address."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, acting
from promptlab.templatetags.promptlab import when
from prompts.admin.shown import page_of
from prompts.errors import ImportNotFound
from prompts.models import ImportedPrompt, ImportRun
from prompts.services import taking_back

MOST_IMPORTS = 5


class ImportPages(HouseAdmin):
    """Part of the prompt's admin, which has its address."""

    def import_urls(self) -> list[Any]:
        return [self.own("transfer/imports/<int:pk>/", self.import_page, "import")]

    def import_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what an import did; a POST takes it back."""
        run = ImportRun.objects.visible_to(acting(request)).with_prompts().filter(pk=pk).first()
        if run is None:
            raise ImportNotFound
        if request.method == "POST":
            self.demand(request, self.write_capability, run)

        def undo(filled: dict[str, Any]) -> HttpResponse:
            taking_back.undo_import(acting(request), run)
            return self.said(request, gettext("The import is taken back."), self.url("import", run.pk))

        refusal = _refusal(run)
        return self.confirm(
            request,
            undo,
            template="admin/prompts/import.html",
            title=_("Import"),
            lead=_("By %(who)s, %(when)s.") % {"who": run.actor_label, "when": when(run.created_at)},
            rows=[_row(one) for one in run.prompts.all()],
            consequences=[] if refusal else _consequences(run),
            warnings=[refusal] if refusal else [],
            may_undo=not refusal and self.has_change_permission(request, run),
            submit_label=_("Undo this import"),
            is_danger=True,
            cancel_url=self.url("transfer"),
            breadcrumbs=[self.list_crumb(), {"label": _("Import and export"), "url": self.url("transfer")}],
        )


def latest_imports(actor: Principal) -> list[dict[str, Any]]:
    """Return what came in last, for links: {"url", "at", "who", "is_undone"}."""
    return [
        {
            "url": page_of("prompt_import", run.pk),
            "at": run.created_at,
            "who": run.actor_label,
            "is_undone": run.undone_at is not None,
        }
        for run in ImportRun.objects.visible_to(actor)[:MOST_IMPORTS]
    ]


def _refusal(run: ImportRun) -> str:
    """Return why the import cannot be taken back; empty when it can."""
    if run.undone_at is not None:
        return gettext("%(who)s took it back.") % {"who": run.undone_label}
    if not taking_back.is_recent(run):
        return gettext("It is too old to be taken back as a whole. Go back prompt by prompt.")
    reasons = taking_back.why_not(run)
    told = gettext("It cannot be taken back as a whole: %(reasons)s.")
    return told % {"reasons": "; ".join(f"{name} {gettext(reason)}" for name, reason in reasons)} if reasons else ""


def _consequences(run: ImportRun) -> list[Any]:
    items = list(run.prompts.all())
    said = []
    if any(item.is_new for item in items):
        said.append(_("Prompts that it made are archived. Their short names stay taken."))
    if not all(item.is_new for item in items):
        said.append(_("Prompts that it changed get back their settings, and their text as a new version."))
    return [*said, _("No version is deleted. What is live does not change.")]


def _row(item: ImportedPrompt) -> dict[str, Any]:
    numbers = item.numbers
    versions = f"v{numbers[0]}" if len(numbers) == 1 else f"v{numbers[0]}–v{numbers[-1]}" if numbers else "–"
    return {
        "title": item.prompt.title,
        "url": page_of("prompt_change", item.prompt_id),
        "what": gettext("new") if item.is_new else gettext("changed"),
        "versions": versions,
        "settings": ", ".join(sorted(item.before)),
    }
