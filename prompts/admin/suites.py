"""Test suites: the list, the page of one with its cases and runs, and forms for cases that need no code."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link, sent
from promptlab.templatetags.promptlab import when
from prompts.admin.case_files import CasesFileForm, case_planned
from prompts.admin.packing import packed
from prompts.admin.shown import page_of
from prompts.admin.suite_forms import CaseForm, NewSuiteForm, RunForm, SuiteForm, checks_shown
from prompts.errors import CaseNotFound
from prompts.models import Suite, SuiteCase, SuiteRequirement, SuiteRun
from prompts.porting.cases import write_cases
from prompts.services import suite_runs, suites
from prompts.services.suites import SuiteChanges

MOST_RUNS = 20
KINDS = {"queued": "neutral", "running": "info", "finished": "ok", "cancelled": "neutral", "stopped": "bad"}


def run_row(run: Any) -> dict[str, Any]:
    """Return what a list shows of a run that comes with its counts."""
    return {
        "label": gettext("Run %(number)s") % {"number": run.pk},
        "url": page_of("suiterun_change", run.pk),
        "version": f"{run.version.prompt.title} v{run.version.number}",
        "models": ", ".join(run.asked_models),
        "state": run.get_state_display(),
        "kind": KINDS[run.state],
        "passed": f"{run.passed}/{run.total}",
        "at": run.created_at,
    }


@admin.register(Suite)
class SuiteAdmin(HouseAdmin):
    write_capability = "prompt.write"
    list_title = _("Test suites")
    add_label = _("New test suite")
    empty_title = _("No test suites yet")
    empty_text = _("A test suite asks a version the same questions every time, and says what became better or worse.")
    list_display = ["name_link", "about", "cases", "changed"]
    list_display_links = None
    list_filter = [TeamFilter]
    search_fields = ["name", "description"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).active().with_counts()

    @admin.display(description=_("Test suite"))
    def name_link(self, suite: Suite) -> SafeString:
        return link(self.url("change", suite.pk), suite.name)

    @admin.display(description=_("For"))
    def about(self, suite: Suite) -> str:
        return suite.prompt.title if suite.prompt else gettext("All prompts")

    @admin.display(description=_("Cases"))
    def cases(self, suite: Any) -> int:
        return suite.case_count

    @admin.display(description=_("Changed"))
    def changed(self, suite: Suite) -> str:
        return when(suite.updated_at)

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/cases/add/", self.case_page, "case_add"),
            self.own("<int:pk>/cases/<int:case>/", self.case_page, "case"),
            self.own("<int:pk>/cases/<int:case>/remove/", self.remove_page, "case_remove"),
            self.own("<int:pk>/import/", self.import_page, "import"),
            self.own("<int:pk>/export/", self.export_page, "export"),
            self.own("<int:pk>/run/", self.run_page, "run"),
            self.own("<int:pk>/settings/", self.settings_page, "settings"),
            self.own("<int:pk>/archive/", self.archive_page, "archive"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a suite; its cases come next."""
        asked = {"prompt": request.GET.get("prompt", "")}
        form = NewSuiteForm(sent(request), actor=acting(request), capability=self.write_capability, initial=asked)

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = suites.create_suite(
                acting(request),
                form.chosen_team().pk,
                name=filled["name"],
                prompt=filled["prompt"],
                description=filled["description"],
                checks=form.checks(),
            )
            return self.said(request, gettext("Now add what is asked."), self.url("change", made.pk))

        return self.form_page(
            request,
            form,
            make,
            title=_("New test suite"),
            submit_label=_("Make the test suite"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show the cases, the checks of all of them, the last runs, and what asks for the suite."""
        rows = SuiteCase.objects.filter(suite=thing).with_checks()
        runs = SuiteRun.objects.filter(suite=thing).visible_to(acting(request)).with_names().with_counts()[:MOST_RUNS]
        asking = SuiteRequirement.objects.filter(suite=thing).select_related("environment")
        return self.page(
            request,
            "admin/prompts/suite.html",
            title=thing.name,
            suite=thing,
            about=self.about(thing),
            may_write=self.has_change_permission(request, thing),
            common=checks_shown(suites.checks_of(thing)),
            cases=[
                {
                    "case": one,
                    "url": self.url("case", thing.pk, one.pk),
                    "checks": checks_shown(suites.case_of(one).checks),
                }
                for one in rows
            ],
            runs=[run_row(one) for one in runs],
            asked_by=", ".join(str(one.environment) for one in asking),
            urls={
                name: self.url(name, thing.pk)
                for name in ("case_add", "import", "export", "run", "settings", "archive")
            },
        )

    def case_page(self, request: HttpRequest, pk: int, case: int | None = None) -> HttpResponse:
        """Write a case, or change one."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)
        row = self._case(suite, case) if case is not None else None
        form = CaseForm(sent(request), suite=suite, case=suites.case_of(row) if row else None)

        def save(filled: dict[str, Any]) -> HttpResponse:
            said = form.case()
            if row is None:
                suites.add_case(actor, suite, said)
            else:
                suites.update_case(actor, row, said)
            return self.said(request, gettext("The case is saved."), self.url("change", suite.pk))

        return self.form_page(
            request,
            form,
            save,
            template="admin/prompts/suite_case.html",
            title=row.name if row else _("New case"),
            remove_url=self.url("case_remove", suite.pk, row.pk) if row else "",
            submit_label=_("Save the case"),
            cancel_url=self.url("change", suite.pk),
            breadcrumbs=self._crumbs(suite),
        )

    def remove_page(self, request: HttpRequest, pk: int, case: int) -> HttpResponse:
        """Say what removing a case means; a POST removes it."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)
        row = self._case(suite, case)

        def remove(filled: dict[str, Any]) -> HttpResponse:
            suites.delete_case(actor, row)
            return self.said(request, gettext("The case is gone."), self.url("change", suite.pk))

        return self.confirm(
            request,
            remove,
            title=_("Remove %(case)s") % {"case": row.name},
            consequences=[
                _("Runs keep what was asked."),
                _("What was found about versions counts no more: the test suite is another one."),
            ],
            is_danger=True,
            submit_label=_("Remove the case"),
            cancel_url=self.url("case", suite.pk, row.pk),
            breadcrumbs=self._crumbs(suite),
        )

    def import_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the cases of a file; a POST with `go` adds them, all of them or none."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)
        form = CasesFileForm(sent(request), request.FILES or None)

        def take(filled: dict[str, Any]) -> HttpResponse:
            data, told = form.data_sent(), {"format": filled["format"], "judge": filled["judge"]}
            if "go" not in request.POST:
                found = suites.plan_import(actor, suite, data, **told)
                again = CasesFileForm(initial={**told, "packed": packed(data)})
                return self.page(request, template, form=again, plan=[case_planned(one) for one in found], **frame)
            made = suites.import_cases(actor, suite, data, **told)
            told = ngettext("%(count)s case was added.", "%(count)s cases were added.", len(made))
            return self.said(request, told % {"count": len(made)}, self.url("change", suite.pk))

        template = "admin/prompts/suite_import.html"
        frame = {
            "title": _("Import cases"),
            "lead": _("What cannot be taken over is named, and then nothing is imported."),
            "cancel_url": self.url("change", suite.pk),
            "breadcrumbs": self._crumbs(suite),
        }
        return self.form_page(request, form, take, template=template, **frame)

    def export_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Download the cases as lines of JSON, which an import reads again."""
        suite = self.found(request, pk)
        self.demand(request, self.view_capability, suite)
        answer = HttpResponse(write_cases(suites.cases_of(suite)), content_type="application/jsonl")
        answer["Content-Disposition"] = f'attachment; filename="{suite.name}.jsonl"'
        return answer

    def run_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose version and models, and see what it can cost; a POST with `go` begins."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)
        form = RunForm(sent(request), suite=suite, actor=actor)
        shown: dict[str, Any] = {}

        def go(filled: dict[str, Any]) -> HttpResponse:
            wanted = form.wanted()
            if "go" in request.POST:
                run = suite_runs.request_run(actor, suite, wanted)
                return self.said(request, gettext("The run has begun."), page_of("suiterun_change", run.pk))
            shown["estimate"] = suite_runs.estimate_run(actor, suite, wanted)
            return self.page(request, "admin/prompts/suite_run_ask.html", form=form, **frame, **shown)

        frame = {
            "title": _("Run %(suite)s") % {"suite": suite.name},
            "cancel_url": self.url("change", suite.pk),
            "breadcrumbs": self._crumbs(suite),
        }
        return self.form_page(request, form, go, template="admin/prompts/suite_run_ask.html", **frame)

    def settings_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change the name, what it is about, and what every answer has to be."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)
        form = SuiteForm(sent(request), suite=suite)

        def save(filled: dict[str, Any]) -> HttpResponse:
            changes = SuiteChanges(filled["name"], filled["description"], form.checks())
            suites.update_suite(actor, suite, changes)
            return self.said(request, gettext("The test suite is saved."), self.url("change", suite.pk))

        return self.form_page(
            request,
            form,
            save,
            title=_("Settings of %(suite)s") % {"suite": suite.name},
            submit_label=_("Save"),
            cancel_url=self.url("change", suite.pk),
            breadcrumbs=self._crumbs(suite),
        )

    def archive_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what archiving means; a POST puts the suite away."""
        suite = self.found(request, pk)
        actor = self.demand(request, self.write_capability, suite)

        def archive(filled: dict[str, Any]) -> HttpResponse:
            suites.archive_suite(actor, suite)
            return self.said(request, gettext("The test suite is archived."), self.url("changelist"))

        return self.confirm(
            request,
            archive,
            title=_("Archive %(suite)s") % {"suite": suite.name},
            consequences=[_("Nobody can run it any more. Its runs stay."), _("What is live does not change.")],
            is_danger=True,
            submit_label=_("Archive the test suite"),
            cancel_url=self.url("change", suite.pk),
            breadcrumbs=self._crumbs(suite),
        )

    def _case(self, suite: Suite, pk: int) -> SuiteCase:
        rows = SuiteCase.objects.filter(suite=suite, pk=pk).select_related("suite").with_checks()
        found: SuiteCase | None = rows.first()
        if found is None:
            raise CaseNotFound
        return found

    def _crumbs(self, suite: Suite) -> list[dict[str, Any]]:
        return [self.list_crumb(), {"label": suite.name, "url": self.url("change", suite.pk)}]


def state_badge(state: str, label: Any) -> SafeString:
    """Return a result's or a run's state on its ground."""
    kinds = {**KINDS, "passed": "ok", "failed": "bad", "error": "warn", "lost": "warn"}
    return badge(label, kinds.get(state, "neutral"))
