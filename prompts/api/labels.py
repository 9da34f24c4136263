"""Tags and a team's own fields over REST."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from prompts.api.finding_shapes import (
    FieldChangeIn,
    FieldDeletedOut,
    FieldIn,
    FieldOut,
    TagIn,
    TagMergedOut,
    TagMergeIn,
    TagOut,
)
from prompts.api.views import House
from prompts.errors import FieldNotFound, TagNotFound
from prompts.models import MetadataField, Tag
from prompts.services import fields, tagging
from prompts.services.fields import FieldChanges


class OfTags(House):
    serializer_class = TagOut
    filter_backends = ()
    queryset = Tag.objects.none()

    def tag(self, pk: int | str) -> Tag:
        """Return a tag of one's teams, with its count. Raises TagNotFound."""
        rows = Tag.objects.visible_to(self.principal).with_counts(self.principal)
        one: Tag | None = rows.filter(pk=id_in(str(pk))).first()
        if one is None:
            raise TagNotFound
        return one


class TagList(OfTags):
    @extend_schema(responses=TagOut(many=True))
    def get(self, request: Request) -> Response:
        """List the tags, by name, each with how many prompts carry it."""
        return self.page(Tag.objects.visible_to(self.principal).with_counts(self.principal), TagOut)


class TagDetail(OfTags):
    def get(self, request: Request, pk: str) -> Response:
        """Return a tag, with how many prompts carry it."""
        return Response(TagOut(self.tag(pk)).data)

    @extend_schema(request=TagIn)
    def patch(self, request: Request, pk: str) -> Response:
        """Give a tag another name on all its prompts."""
        tagging.rename_tag(self.principal, self.tag(pk), self.checked(TagIn)["name"])
        return Response(TagOut(self.tag(pk)).data)

    @extend_schema(responses=TagMergedOut)
    def delete(self, request: Request, pk: str) -> Response:
        """Take a tag off its prompts and end it; says how many they were."""
        return Response({"prompts": tagging.delete_tag(self.principal, self.tag(pk))})


class TagMerge(OfTags):
    @extend_schema(request=TagMergeIn, responses=TagMergedOut)
    def post(self, request: Request, pk: str) -> Response:
        """Put another tag in the place of this one, which ends; says on how many prompts."""
        tag = self.tag(pk)
        into = self.tag(self.checked(TagMergeIn)["into"])
        return Response({"prompts": tagging.merge_tags(self.principal, tag, into)})


class OfFields(House):
    serializer_class = FieldOut
    filter_backends = ()
    pagination_class = None
    queryset = MetadataField.objects.none()

    def field(self, pk: str) -> MetadataField:
        """Return a field of one's teams. Raises FieldNotFound."""
        one: MetadataField | None = MetadataField.objects.visible_to(self.principal).filter(pk=id_in(pk)).first()
        if one is None:
            raise FieldNotFound
        return one


class FieldList(OfFields):
    @extend_schema(responses=FieldOut(many=True))
    def get(self, request: Request) -> Response:
        """List the fields that teams added to their prompts, in order."""
        return Response(FieldOut(MetadataField.objects.visible_to(self.principal), many=True).data)

    @extend_schema(request=FieldIn, responses={201: FieldOut})
    def post(self, request: Request) -> Response:
        """Add a field to the team's prompts. Administrators."""
        body = self.checked(FieldIn)
        team_id = self.principal.team_for("team.admin", body.pop("team_id", None))
        made = fields.create_field(self.principal, team_id, **body)
        return Response(FieldOut(made).data, status=status.HTTP_201_CREATED)


class FieldDetail(OfFields):
    def get(self, request: Request, pk: str) -> Response:
        """Return one field."""
        return Response(FieldOut(self.field(pk)).data)

    @extend_schema(request=FieldChangeIn)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a field. Its short name stays, and its type while prompts have values in it."""
        field = self.field(pk)
        return Response(
            FieldOut(fields.update_field(self.principal, field, FieldChanges(**self.checked(FieldChangeIn)))).data
        )

    @extend_schema(responses=FieldDeletedOut)
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a field with its values; says how many prompts had one."""
        return Response({"values": fields.delete_field(self.principal, self.field(pk))})
