"""Test suites and their cases over REST."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in, idempotent
from prompts import resolve
from prompts.api.porting import AnyFormat, FileParser
from prompts.api.suite_shapes import CaseIn, CaseOut, ImportedOut, SuiteChangeIn, SuiteIn, SuiteOut, SuiteRowOut
from prompts.api.views import House
from prompts.checks.cases import Case, checks_from
from prompts.errors import CaseNotFound, SuiteNotFound
from prompts.models import Suite, SuiteCase
from prompts.porting.cases import FORMATS, write_cases
from prompts.services import suites
from prompts.services.suites import SuiteChanges


class OfSuites(House):
    """Views that find a suite by its id or its short name."""

    serializer_class = SuiteOut
    filter_backends = ()
    queryset = Suite.objects.none()

    def suite(self, reference: str) -> Suite:
        """Return a suite the caller sees. Raises SuiteNotFound."""
        by = {"pk": id_in(reference)} if reference.isdecimal() else {"name": reference}
        rows = Suite.objects.visible_to(self.principal).active().with_counts().filter(**by)
        found: list[Suite] = list(rows[:2])
        if len(found) != 1:
            # Two teams may call theirs the same: then only ids tell them apart.
            raise SuiteNotFound
        return found[0]

    def case(self, suite: Suite, pk: str) -> SuiteCase:
        """Return a case of the suite. Raises CaseNotFound."""
        rows = SuiteCase.objects.filter(suite=suite, pk=id_in(pk)).select_related("suite")
        found: SuiteCase | None = rows.with_checks().first()
        if found is None:
            raise CaseNotFound
        return found

    def shown(self, suite: Suite, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about one suite."""
        return Response(SuiteOut(Suite.objects.with_counts().get(pk=suite.pk)).data, status=code)


class SuiteList(OfSuites):
    @extend_schema(responses=SuiteRowOut(many=True))
    def get(self, request: Request) -> Response:
        """List the test suites, by name."""
        return self.page(Suite.objects.visible_to(self.principal).active().with_counts(), SuiteRowOut)

    @extend_schema(request=SuiteIn, responses={201: SuiteOut})
    def post(self, request: Request) -> Response:
        """Make a suite without cases."""
        body = self.checked(SuiteIn)
        team_id = self.principal.team_for("prompt.write", body.get("team_id"))
        wanted = body.get("prompt")
        made = suites.create_suite(
            self.principal,
            team_id,
            name=body["name"],
            prompt=resolve.prompt_for(self.principal, wanted, team_id) if wanted else None,
            description=body.get("description", ""),
            checks=checks_from(body.get("checks", [])),
        )
        return self.shown(made, status.HTTP_201_CREATED)


class SuiteDetail(OfSuites):
    def get(self, request: Request, suite: str) -> Response:
        """Return a suite with the checks of every case."""
        return Response(SuiteOut(self.suite(suite)).data)

    @extend_schema(request=SuiteChangeIn)
    def patch(self, request: Request, suite: str) -> Response:
        """Change a suite. Other checks are a new revision, and void what was found before."""
        one = self.suite(suite)
        body = self.checked(SuiteChangeIn)
        checks = checks_from(body["checks"]) if "checks" in body else None
        changes = SuiteChanges(body.get("name"), body.get("description"), checks)
        return self.shown(suites.update_suite(self.principal, one, changes))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, suite: str) -> Response:
        """Archive a suite; its runs stay. Not while an environment asks for it."""
        suites.archive_suite(self.principal, self.suite(suite))
        return Response(status=status.HTTP_204_NO_CONTENT)


class CaseList(OfSuites):
    serializer_class = CaseOut

    @extend_schema(responses=CaseOut(many=True))
    def get(self, request: Request, suite: str) -> Response:
        """List the cases with their own checks, in order."""
        return self.page(SuiteCase.objects.filter(suite=self.suite(suite)).with_checks(), CaseOut)

    @extend_schema(request=CaseIn, responses={201: CaseOut})
    @idempotent
    def post(self, request: Request, suite: str) -> Response:
        """Add a case."""
        made = suites.add_case(self.principal, self.suite(suite), _case(self.checked(CaseIn)))
        return Response(CaseOut(made).data, status=status.HTTP_201_CREATED)


class CaseDetail(OfSuites):
    serializer_class = CaseOut

    def get(self, request: Request, suite: str, pk: str) -> Response:
        """Return a case with its own checks."""
        return Response(CaseOut(self.case(self.suite(suite), pk)).data)

    @extend_schema(request=CaseIn)
    def put(self, request: Request, suite: str, pk: str) -> Response:
        """Replace what a case says."""
        one = self.suite(suite)
        suites.update_case(self.principal, self.case(one, pk), _case(self.checked(CaseIn)))
        return Response(CaseOut(self.case(one, pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, suite: str, pk: str) -> Response:
        """Remove a case; runs keep what was asked."""
        suites.delete_case(self.principal, self.case(self.suite(suite), pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class CaseImport(OfSuites):
    content_negotiation_class = AnyFormat
    parser_classes = (FileParser,)
    serializer_class = ImportedOut

    @extend_schema(
        parameters=[
            OpenApiParameter("format", OpenApiTypes.STR, enum=FORMATS, description="How the file is written."),
            OpenApiParameter(
                "judge", OpenApiTypes.STR, description="The prompt that judges where a file says llm-rubric."
            ),
            OpenApiParameter(
                "dry_run", OpenApiTypes.STR, enum=["0", "1"], description="1: only say what would be added."
            ),
        ],
        request={"text/csv": OpenApiTypes.STR, "application/jsonl": OpenApiTypes.STR},
        responses=ImportedOut,
    )
    def post(self, request: Request, suite: str) -> Response:
        """Add the cases of a file, all of them or none. What cannot be taken over is named and refused."""
        one = self.suite(suite)
        data = request.data if isinstance(request.data, bytes) else b""
        format, judge = request.GET.get("format", "jsonl"), request.GET.get("judge", "")[:255]
        is_dry = request.GET.get("dry_run") == "1"
        act = suites.plan_import if is_dry else suites.import_cases
        names = [case.name for case in act(self.principal, one, data, format, judge=judge)]
        one.refresh_from_db(fields=["revision"])
        return Response({"cases": len(names), "names": names, "revision": one.revision, "dry_run": is_dry})


class CaseExport(OfSuites):
    content_negotiation_class = AnyFormat
    serializer_class = serializers.Serializer

    @extend_schema(responses={(200, "application/jsonl"): OpenApiTypes.STR})
    def get(self, request: Request, suite: str) -> HttpResponse:
        """Download the cases as lines of JSON, which an import reads again."""
        one = self.suite(suite)
        answer = HttpResponse(write_cases(suites.cases_of(one)), content_type="application/jsonl")
        answer["Content-Disposition"] = f'attachment; filename="{one.name}.jsonl"'
        return answer


def _case(body: dict[str, Any]) -> Case:
    return Case.from_json(body)
