"""Prompts out into a file and in again, over REST. The body of an import is the file itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from promptlab.lib.errors import Invalid, NotFound
from prompts.api.views import House
from prompts.errors import FileTooLarge, PromptNotFound
from prompts.models import Collection, Prompt
from prompts.porting import formats
from prompts.porting.safe_yaml import MAX_BYTES
from prompts.querysets import PromptQuerySet
from prompts.services import porting
from prompts.services.porting import Plan, Which

MOST_NAMES = 200
VERSIONS: tuple[Which, ...] = ("all", "live", "newest")


class AnyFormat(DefaultContentNegotiation):
    """Here `?format=` says how the file is written, not how the answer is."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class FileParser(BaseParser):
    """Hands the body over as bytes, whatever content type the caller names."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> bytes:
        body: bytes = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise FileTooLarge(limit=MAX_BYTES)
        return body


class PlanItemOut(serializers.Serializer[Any]):
    """What an import does with one prompt. `versions` are the numbers its new versions get here."""

    name = serializers.CharField()
    outcome = serializers.ChoiceField(["new", "changed", "same", "problem"])
    detail = serializers.CharField(source="sentence")
    place = serializers.CharField()
    versions = serializers.SerializerMethodField()
    settings = serializers.SerializerMethodField()
    notices = serializers.ListField(child=serializers.CharField())

    def get_versions(self, item: porting.PlanItem) -> list[int]:
        return [version.number for version in item.versions]

    def get_settings(self, item: porting.PlanItem) -> list[str]:
        return sorted(item.settings)


class PlanOut(serializers.Serializer[Any]):
    """What an import does, or did. `notices` say what of the file has no place here."""

    dry_run = serializers.BooleanField()
    id = serializers.IntegerField(
        allow_null=True, help_text="What the import is taken back by; null when nothing changed."
    )
    prompts = PlanItemOut(many=True)
    notices = serializers.ListField(child=serializers.CharField())


def _option(name: str, told: str, *choices: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=told, enum=choices or None)


TEAM = OpenApiParameter("team_id", OpenApiTypes.INT, description="Needed by somebody in several teams.")


class OfFiles(House):
    content_negotiation_class = AnyFormat
    filter_backends = ()
    pagination_class = None
    serializer_class = PlanOut

    def asked(self, name: str, *known: str) -> str:
        """Return an option of the address, the first one known when it is left out. Raises a 400 naming it."""
        value: str = self.request.GET.get(name) or known[0]
        if value not in known:
            raise Invalid.field(name, f"{name} is one of {', '.join(known)}.")
        return value

    def team_id(self, capability: str) -> int:
        """Return the team to act in."""
        asked = self.request.GET.get("team_id")
        return self.principal.team_for(capability, id_in(asked) if asked else None)


class Export(OfFiles):
    @extend_schema(
        operation_id="export_prompts",
        parameters=[
            _option("format", "How the file is written. The last three hold one prompt.", *formats.WRITABLE),
            OpenApiParameter("collection_id", OpenApiTypes.INT),
            _option("names", "Short names, separated by commas. Without: all."),
            _option("versions", "All, those that are live somewhere, or the newest.", *VERSIONS),
            TEAM,
        ],
        responses={(200, "application/yaml"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> HttpResponse:
        """Download prompts as one file: the bundle, or another format. The same prompts are the same bytes."""
        format = self.asked("format", *formats.WRITABLE)
        versions: Any = self.asked("versions", *VERSIONS)
        bundle = porting.export_prompts(self.principal, self._chosen(), versions=versions)
        answer = HttpResponse(formats.write(bundle, format).encode(), content_type=formats.content_type(format))
        answer["Content-Disposition"] = f'attachment; filename="{formats.file_name(format)}"'
        return answer

    def _chosen(self) -> PromptQuerySet:
        rows = Prompt.objects.visible_to(self.principal).filter(team_id=self.team_id("prompt.read")).active()
        if asked := self.request.GET.get("collection_id"):
            groups = Collection.objects.visible_to(self.principal).active()
            if not groups.filter(pk=id_in(asked)).exists():
                raise NotFound("Collection not found", code="collection_not_found")
            rows = rows.filter(collection_id=id_in(asked))
        names = [name.strip() for name in self.request.GET.get("names", "").split(",") if name.strip()]
        if len(names) > MOST_NAMES:
            raise Invalid.field("names", f"At most {MOST_NAMES} names at once.")
        if names:
            rows = rows.filter(name__in=names)
            there = set(rows.values_list("name", flat=True))
            for name in names:
                if name not in there:
                    raise PromptNotFound(name=name[:100])
        return rows


class Import(OfFiles):
    parser_classes = (FileParser,)

    @extend_schema(
        operation_id="import_prompts",
        parameters=[
            _option("format", "How the file is written; auto looks at it.", *formats.READABLE),
            _option("dry_run", "1: only say what would happen.", "0", "1"),
            _option("name", "The prompt's short name, for a file that gives none."),
            TEAM,
        ],
        request={"application/yaml": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        responses={200: PlanOut},
    )
    def post(self, request: Request) -> Response:
        """Import a file, whole or nothing. No pointer moves; content that is here already makes no version."""
        is_dry = self.asked("dry_run", "0", "1") == "1"
        team_id = self.team_id("prompt.write")
        data = request.data if isinstance(request.data, bytes) else b""
        format = self.asked("format", *formats.READABLE)
        bundle = formats.read(data, format, name=request.GET.get("name", "")[:255])
        act = porting.plan_import if is_dry else porting.run_import
        plan: Plan = act(self.principal, bundle, team_id)
        shown = {"dry_run": is_dry, "id": plan.import_id, "prompts": plan.items, "notices": plan.notices}
        return Response(PlanOut(shown).data, status=status.HTTP_200_OK)
