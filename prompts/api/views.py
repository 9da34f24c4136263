"""Prompts and environments over REST: read input, one call, shape output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from promptlab_sdk.kernel.spec import Content
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView, id_in
from promptlab.lib.errors import Invalid, Stale
from promptlab.lib.pagination import Pages
from prompts import search
from prompts.api.filters import PromptFilter, asks_for_library
from prompts.api.serializers import (
    EnvironmentOut,
    PromptIn,
    PromptOut,
    PromptRowOut,
)
from prompts.api.shapes import EnvironmentIn
from prompts.errors import LibraryReadOnly, PromptNotFound
from prompts.models import Collection, Environment, Prompt, PromptAlias
from prompts.querysets import PromptQuerySet
from prompts.services import authoring
from prompts.services.authoring import PromptChanges
from prompts.services.contents import content_of
from prompts.services.drafting import SETTINGS
from prompts.services.environments import create_environment


class House(HouseView, GenericAPIView[Any]):
    """The base of these views: an input is checked by its shape, an output shaped by another."""

    def checked(self, shape: type[serializers.Serializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """Return the checked body. Raises a 400 naming the fields."""
        if not isinstance(self.request.data, Mapping):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        found = shape(data=self.request.data, partial=partial)
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)

    def page(self, queryset: Any, shape: type[serializers.BaseSerializer[Any]]) -> Response:
        """Return one page of the list."""
        rows = self.paginate_queryset(self.filter_queryset(queryset))
        return self.get_paginated_response(shape(rows, many=True, context={"principal": self.principal}).data)


class EnvironmentList(House):
    serializer_class = EnvironmentOut
    filter_backends = ()
    pagination_class = None

    @extend_schema(responses=EnvironmentOut(many=True))
    def get(self, request: Request) -> Response:
        """List the environments with their revisions, in order. A team gets its first three with its first prompt."""
        rows = Environment.objects.visible_to(self.principal).prefetch_related("requirements")
        return Response(EnvironmentOut(rows, many=True).data)

    @extend_schema(request=EnvironmentIn, responses={201: EnvironmentOut})
    def post(self, request: Request) -> Response:
        """Make an environment of your own. Administrators."""
        body = self.checked(EnvironmentIn)
        team_id = self.principal.team_for("team.admin", body.pop("team_id", None))
        made = create_environment(self.principal, team_id, **body)
        return Response(EnvironmentOut(made).data, status=status.HTTP_201_CREATED)


class OfPrompts(House):
    """Views that find a prompt by its id or its short name.

    `reads_library`: the methods that read what other teams have in the library.
    """

    serializer_class = PromptOut
    filterset_class = PromptFilter
    reads_library: tuple[str, ...] = ()

    def prompts(self) -> PromptQuerySet:
        """Return the prompts the caller sees."""
        return Prompt.objects.visible_to(self.principal).active()

    def prompt(self, reference: str, *, with_standing: bool = False) -> Prompt:
        """Return one prompt with everything an answer shows of it; one's own team's before the library's.

        Raises PromptNotFound, and LibraryReadOnly for what is of another team.
        """
        by = {"pk": id_in(reference)} if reference.isdecimal() else {"name": reference}
        rows = self.prompts().filter(**by).for_list()
        rows = rows.with_standing(self.principal) if with_standing else rows
        found = list(rows[:2]) or self._once_called(reference, with_standing) or self._in_library(by)
        if not found:
            raise PromptNotFound(name=reference[:100])
        if len(found) > 1:
            raise Invalid(f"Several of your teams have a prompt {reference}. Ask for it by its id.", code="team_needed")
        return found[0]

    def _in_library(self, by: Mapping[str, Any]) -> list[Prompt]:
        """Return the prompts of other teams that may be read and copied. Raises LibraryReadOnly where that is not what is asked."""
        rows = Prompt.objects.in_library(self.principal).active().filter(**by)
        found = list(rows.for_list().with_standing(self.principal)[:2])
        if found and self.request.method not in self.reads_library:
            raise LibraryReadOnly(prompt=found[0].title)
        return found

    def _once_called(self, name: str, with_standing: bool) -> list[Prompt]:
        """Return the prompts that had this name before; the answer says that it is a former one."""
        aliases = PromptAlias.objects.visible_to(self.principal).filter(name=name).select_related("prompt")[:2]
        former = {alias.prompt_id: alias for alias in aliases}
        rows = self.prompts().for_list()
        rows = rows.with_standing(self.principal) if with_standing else rows
        found = list(rows.filter(pk__in=former)) if former else []
        if len(found) == 1:
            since = former[found[0].pk].created_at
            address = f"/api/v1/prompts/{found[0].name}"
            self.headers.update(deprecation(int(since.timestamp()), address))
        return found

    def shown(self, prompt: Prompt, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about one prompt, with its ETag."""
        fresh = Prompt.objects.for_list().with_standing(self.principal).get(pk=prompt.pk)
        return self.answer(fresh, code)

    def answer(self, prompt: Prompt, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about a prompt that was fetched with its standing."""
        shaped = PromptOut(prompt, context={"principal": self.principal})
        return Response(shaped.data, status=code, headers={"ETag": prompt.etag})


def deprecation(since: int, successor: str) -> dict[str, str]:
    """Return the headers that say that a name is a former one: since when (Unix time), and where to ask instead."""
    return {"Deprecation": f"@{since}", "Link": f'<{successor}>; rel="successor-version"'}


class PromptPages(Pages):
    django_paginator_class = search.Pages


class PromptList(OfPrompts):
    queryset = Prompt.objects.none()
    pagination_class = PromptPages

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "library", OpenApiTypes.BOOL, description="The library of all teams, instead of one's own."
            ),
            OpenApiParameter("metadata.KEY", OpenApiTypes.STR, description="A field's value; also KEY__gte, KEY__lte."),
        ],
        responses=PromptRowOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List the prompts of one's teams, or of the library: newest first; of a search the best first, with where it was found.

        `count` of a search is 10,000 at most, which then means that there may be more.
        """
        rows = self.prompts()
        if asks_for_library(request):
            rows = Prompt.objects.in_library(self.principal).active()
        return self.page(rows.for_list().with_standing(self.principal).order_by("-id"), PromptRowOut)

    def paginate_queryset(self, queryset: Any) -> list[Prompt]:
        typed, live = self.request.query_params.get("search", ""), not asks_for_library(self.request)
        return search.with_matches(super().paginate_queryset(queryset), typed, live=live)

    @extend_schema(request=PromptIn, responses={201: PromptOut})
    def post(self, request: Request) -> Response:
        """Make a prompt with its version 1. Nothing goes live."""
        body = self.checked(PromptIn)
        team_id = self.principal.team_for("prompt.write", body.get("team_id"))
        content = content_from(body)
        if body.get("type", content.type) != content.type:
            raise Invalid.field("type", "A text prompt has content, a chat prompt has messages.")
        made = authoring.create_prompt(
            self.principal,
            team_id,
            content=content,
            collection=_collection(self, body.get("collection_id")),
            **{key: body[key] for key in _PROMPT_FIELDS if key in body},
        )
        response = self.shown(made, status.HTTP_201_CREATED)
        response["Location"] = f"/api/v1/prompts/{made.pk}"
        return response


_PROMPT_FIELDS = (
    "title", "name", "description", "tags", "metadata", "model_type", "version_string", "message", "allow_secret",
)  # fmt: skip


class PromptDetail(OfPrompts):
    reads_library = ("GET", "HEAD")

    def get(self, request: Request, prompt: str) -> Response:
        """Return a prompt with its newest version, and its ETag."""
        return self.answer(self.prompt(prompt, with_standing=True))

    @extend_schema(request=PromptIn)
    def put(self, request: Request, prompt: str) -> Response:
        """Replace a prompt; changed content makes a new version."""
        return self._change(prompt, partial=False)

    @extend_schema(request=PromptIn)
    def patch(self, request: Request, prompt: str) -> Response:
        """Change some of a prompt; changed content makes a new version."""
        return self._change(prompt, partial=True)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, prompt: str) -> Response:
        """Archive a prompt. What is live stays live."""
        one = self.prompt(prompt)
        if (wanted := if_match(request)) not in ("", "*", one.etag):
            raise Stale(etag=one.etag, sent=wanted)
        authoring.archive_prompt(self.principal, one)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, reference: str, *, partial: bool) -> Response:
        one = self.prompt(reference)
        body = self.checked(PromptIn, partial=partial)
        if body.get("name", one.name) != one.name:
            raise Invalid.field("name", "The short name does not change; applications use it.", code="name_is_fixed")
        if not partial:
            body = {"description": "", "tags": [], "model_type": "", "collection_id": None, **body}
            had = one.metadata.values_list("field__key", flat=True)
            body["metadata"] = {**dict.fromkeys(had), **body.get("metadata", {})}
        has_content = "content" in body or "messages" in body
        if not partial and not has_content:
            raise Invalid.field("content", "Send the content, or use PATCH to leave it.", code="required")
        changes = PromptChanges(
            title=body.get("title"),
            description=body.get("description"),
            model_type=body.get("model_type"),
            tags=tuple(body["tags"]) if "tags" in body else None,
            metadata=body.get("metadata"),
            has_collection="collection_id" in body,
            collection=_collection(self, body.get("collection_id")),
            content=content_from(body, one) if has_content or _SETTINGS & body.keys() else None,
            message=body.get("message", ""),
            version_string=body.get("version_string", ""),
            allow_secret=body.get("allow_secret", ""),
        )
        changed, _ = authoring.update_prompt(self.principal, one, changes, if_match=if_match(self.request))
        return self.shown(changed)


_SETTINGS = {*SETTINGS, "version_string"}
"""What belongs to a version besides its text: naming one of these asks for a new version."""


def content_from(body: Mapping[str, Any], over: Prompt | None = None) -> Content:
    """Return the content in a body; what it leaves out is taken from the newest version of `over`."""
    newest = over.newest if over else None
    keeps_text = newest is not None and "content" not in body and "messages" not in body
    text = newest.text if newest and keeps_text else body.get("content", "")
    messages = newest.messages if newest and keeps_text else body.get("messages", ())
    if text and messages:
        raise Invalid.field("messages", "Send content for a text prompt or messages for a chat prompt, not both.")
    kept = {name: getattr(newest, name) for name in SETTINGS} if newest else {}
    said = {name: body[name] for name in SETTINGS if name in body}
    return content_of(text=text, messages=messages, **{**kept, **said})


def _collection(view: House, pk: int | None) -> Collection | None:
    if pk is None:
        return None
    rows = Collection.objects.visible_to(view.principal).active()
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Invalid.field("collection_id", "Collection not found", code="collection_not_found")
    return found


def if_match(request: Request) -> str:
    """Return the state the caller read; proxies may have weakened the tag."""
    return request.headers.get("If-Match", "").strip().removeprefix("W/")
