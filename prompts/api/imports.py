"""What came in by imports, and taking it back, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from prompts.api.views import House
from prompts.errors import ImportNotFound
from prompts.models import ImportRun
from prompts.services import taking_back


class ImportedPromptOut(serializers.Serializer[Any]):
    """What an import did to one prompt: the numbers of its new versions, and the settings that it changed."""

    name = serializers.CharField(source="prompt.name")
    is_new = serializers.BooleanField()
    versions = serializers.ListField(child=serializers.IntegerField(), source="numbers")
    settings = serializers.SerializerMethodField()

    def get_settings(self, item: Any) -> list[str]:
        return sorted(item.before)


class ImportOut(serializers.Serializer[Any]):
    """One import. `undone_at` is null until it is taken back."""

    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    actor = serializers.CharField(source="actor_label")
    prompts = ImportedPromptOut(many=True, source="prompts.all")
    undone_at = serializers.DateTimeField(allow_null=True)
    undone_by = serializers.CharField(source="undone_label")


class OfImports(House):
    """Views that find an import by its id."""

    queryset = ImportRun.objects.none()
    serializer_class = ImportOut
    filter_backends = ()

    def found(self, pk: str) -> ImportRun:
        """Return an import the caller sees. Raises ImportNotFound."""
        rows = ImportRun.objects.visible_to(self.principal).with_prompts()
        one: ImportRun | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise ImportNotFound
        return one


class ImportList(OfImports):
    @extend_schema(operation_id="list_imports", responses=ImportOut(many=True))
    def get(self, request: Request) -> Response:
        """List what came in by imports, the newest first."""
        return self.page(ImportRun.objects.visible_to(self.principal).with_prompts(), ImportOut)


class ImportDetail(OfImports):
    @extend_schema(operation_id="get_import", responses=ImportOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return what one import did."""
        return Response(ImportOut(self.found(pk)).data)


class ImportUndo(OfImports):
    @extend_schema(operation_id="undo_import", request=None, responses=ImportOut)
    def post(self, request: Request, pk: str) -> Response:
        """Take an import back, all of it, while nobody built on it; again changes nothing. No version is deleted."""
        run = self.found(pk)
        taking_back.undo_import(self.principal, run)
        return Response(ImportOut(self.found(pk)).data)
