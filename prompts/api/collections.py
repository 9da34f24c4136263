"""Collections over REST: a tree, who sees what, the library, archiving and bringing back."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from promptlab.lib.errors import Invalid, NotFound
from prompts.api.finding_shapes import CollectionIn, CollectionOut, CollectionsAsked, CollectionTreeOut
from prompts.api.views import House
from prompts.errors import LibraryReadOnly
from prompts.models import Collection
from prompts.querysets import CollectionQuerySet
from prompts.services import collecting
from prompts.services.collecting import Place


class OfCollections(House):
    """Views that find a collection by its id."""

    serializer_class = CollectionOut
    filter_backends = ()
    queryset = Collection.objects.none()

    def found(self, pk: str, *, to_read: bool = False, archived: bool = False) -> Collection:
        """Return a collection of one's teams; to read, of the library too. Raises NotFound, LibraryReadOnly."""
        rows = Collection.objects.readable_by(self.principal).filter(pk=id_in(pk))
        one = (rows if archived else rows.active()).with_path().with_counts().first()
        if one is None:
            raise NotFound("Collection not found", code="collection_not_found")
        if not to_read and one.team_id not in self.principal.grants:
            raise LibraryReadOnly(prompt=one.name)
        return one

    def answer(self, collection: Collection, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about one collection."""
        fresh = Collection.objects.with_path().with_counts().get(pk=collection.pk)
        return Response(CollectionOut(fresh, context={"principal": self.principal}).data, status=code)

    def place(self, body: dict[str, Any]) -> Place:
        """Take out of a body where it puts the collection. Raises a 400 for a parent that nobody has."""
        has_parent, has_owner = "parent_id" in body, "owner_id" in body
        parent_id = body.pop("parent_id", None)
        parent = Collection.objects.visible_to(self.principal).filter(pk=parent_id).first() if parent_id else None
        if parent_id is not None and parent is None:
            raise Invalid.field("parent_id", "Collection not found", code="collection_not_found")
        return Place(
            parent=parent,
            has_parent=has_parent,
            owner_id=body.pop("owner_id", None),
            has_owner=has_owner,
            visibility=body.pop("visibility", None),
        )


class CollectionList(OfCollections):
    @extend_schema(parameters=[CollectionsAsked], responses=CollectionOut(many=True))
    def get(self, request: Request) -> Response:
        """List the collections, by name; `tree=1` answers with all of them inside of each other, on one page."""
        asked = CollectionsAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = self._rows(asked.validated_data)
        parent = asked.validated_data.get("parent", "")
        if asked.validated_data.get("tree"):
            return self._tree(rows, id_in(parent) if parent else 0)
        if parent:
            rows = rows.filter(parent=None if parent == "root" else id_in(parent))
        return self.page(rows, CollectionOut)

    @extend_schema(request=CollectionIn, responses={201: CollectionOut})
    def post(self, request: Request) -> Response:
        """Make a collection; of your own, and your team sees it, unless you say otherwise."""
        body = self.checked(CollectionIn)
        team_id = self.principal.team_for("prompt.write", body.pop("team_id", None))
        place = self.place(body)
        made = collecting.create_collection(self.principal, team_id, place=place, **body)
        return self.answer(made, status.HTTP_201_CREATED)

    def _rows(self, asked: dict[str, Any]) -> CollectionQuerySet:
        groups: CollectionQuerySet = Collection.objects.with_path().with_counts()
        rows = groups.in_library(self.principal) if asked.get("library") else groups.visible_to(self.principal)
        return rows.filter(archived_at__isnull=False) if asked.get("archived") else rows.active()

    def _tree(self, rows: CollectionQuerySet, root: int) -> Response:
        """Answer with the collections below `root`, or all, one in the other: one query, whatever the depth."""
        found = list(rows)
        by_id = {one.pk: one for one in found}
        for one in found:
            one.inside = []
        roots = []
        for one in found:
            above = by_id.get(one.parent_id)
            (above.inside if above is not None else roots).append(one)
        shown = by_id[root].inside if root in by_id else roots if not root else []
        for one in shown:
            _add_up(one)
        data = CollectionTreeOut(shown, many=True, context={"principal": self.principal}).data
        return Response({"count": len(shown), "next": None, "previous": None, "results": data})


class CollectionDetail(OfCollections):
    def get(self, request: Request, pk: str) -> Response:
        """Return a collection."""
        one = self.found(pk, to_read=True)
        return Response(CollectionOut(one, context={"principal": self.principal}).data)

    @extend_schema(request=CollectionIn)
    def put(self, request: Request, pk: str) -> Response:
        return self._change(pk, partial=False)

    @extend_schema(request=CollectionIn)
    def patch(self, request: Request, pk: str) -> Response:
        return self._change(pk, partial=True)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Archive the collection, all that is inside of it and the prompts. What is live stays live."""
        collecting.archive_collection(self.principal, self.found(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, pk: str, *, partial: bool) -> Response:
        collection = self.found(pk)
        body = self.checked(CollectionIn, partial=partial)
        body.pop("team_id", None)
        if not partial:
            body.setdefault("description", "")
        place = self.place(body)
        return self.answer(collecting.update_collection(self.principal, collection, place=place, **body))


class CollectionRestore(OfCollections):
    @extend_schema(request=None, responses=CollectionOut)
    def post(self, request: Request, pk: str) -> Response:
        """Bring back exactly what was archived with it; what had been archived before stays so."""
        return self.answer(collecting.restore_collection(self.principal, self.found(pk, archived=True)))


def _add_up(collection: Any) -> int:
    collection.total_count = collection.prompt_count + sum(_add_up(one) for one in collection.inside)
    total: int = collection.total_count
    return total
