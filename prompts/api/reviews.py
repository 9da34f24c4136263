"""Reviews and comments over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from promptlab.lib.errors import Invalid
from prompts import resolve
from prompts.api.filters import CommentFilter, ReviewFilter
from prompts.api.shapes import (
    CommentChangeIn,
    CommentIn,
    CommentOut,
    NoteIn,
    ReplyIn,
    ReviewOut,
    VerdictIn,
)
from prompts.api.versions import OfVersions
from prompts.api.views import House, OfPrompts
from prompts.errors import CommentNotFound
from prompts.models import Comment, ReviewRequest, Version
from prompts.services import commenting, reviewing


class ReviewList(House):
    queryset = ReviewRequest.objects.none()
    serializer_class = ReviewOut
    filterset_class = ReviewFilter

    @extend_schema(responses=ReviewOut(many=True))
    def get(self, request: Request) -> Response:
        """List the reviews, newest first. `state=open`: what is to be looked at."""
        return self.page(ReviewRequest.objects.visible_to(self.principal).with_names().order_by("-id"), ReviewOut)


class OfReviews(OfVersions):
    serializer_class = ReviewOut

    def wanted(self, prompt: str, version: str) -> Version:
        """Return the version that the address names."""
        return self.version(self.prompt(prompt), version)

    def reviewed(self, version: Version, code: int = status.HTTP_200_OK) -> Response:
        """Return the version's newest review."""
        row = ReviewRequest.objects.with_names().filter(version=version).order_by("-id").first()
        return Response(ReviewOut(row).data, status=code)


class Submit(OfReviews):
    @extend_schema(request=NoteIn, responses={201: ReviewOut, 200: ReviewOut})
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Ask for a review: 201. It was asked for already: 200."""
        found = self.wanted(prompt, version)
        body = self.checked(NoteIn)
        _request, is_new = reviewing.submit_for_review(self.principal, found, note=body.get("note", ""))
        return self.reviewed(found, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class Approve(OfReviews):
    @extend_schema(request=VerdictIn, responses=ReviewOut)
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Approve this content. People only, and never its author. Again by the same person counts once."""
        found = self.wanted(prompt, version)
        reviewing.approve(self.principal, found, comment=self.checked(VerdictIn).get("comment", ""))
        return self.reviewed(found)


class RequestChanges(OfReviews):
    @extend_schema(request=VerdictIn, responses=ReviewOut)
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Send it back, saying why (10 characters or more). Approvals it had count no more."""
        found = self.wanted(prompt, version)
        reviewing.request_changes(self.principal, found, comment=self.checked(VerdictIn).get("comment", ""))
        return self.reviewed(found)


class Withdraw(OfReviews):
    @extend_schema(request=NoteIn, responses=ReviewOut)
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Take the request for a review back. Approvals it had count no more."""
        found = self.wanted(prompt, version)
        reviewing.withdraw(self.principal, found, note=self.checked(NoteIn).get("note", ""))
        return self.reviewed(found)


class CommentList(OfPrompts):
    queryset = Comment.objects.none()
    serializer_class = CommentOut
    filterset_class = CommentFilter

    @extend_schema(responses=CommentOut(many=True))
    def get(self, request: Request, prompt: str) -> Response:
        """List the comments on a prompt and its versions, oldest first."""
        return self.page(Comment.objects.filter(prompt=self.prompt(prompt)).with_names(), CommentOut)

    @extend_schema(request=CommentIn, responses={201: CommentOut})
    def post(self, request: Request, prompt: str) -> Response:
        """Comment on the prompt, on a version, or on a line of it. `@name` mentions somebody of the team."""
        one = self.prompt(prompt)
        body = self.checked(CommentIn)
        version = resolve.version_of(one, str(body["version"])) if "version" in body else None
        made = commenting.add_comment(self.principal, one, body["text"], version=version, line=body.get("line"))
        return _shown(made, status.HTTP_201_CREATED)


class CommentDetail(House):
    serializer_class = CommentOut
    filter_backends = ()

    def found(self, pk: str) -> Comment:
        """Return a comment the caller sees. Raises CommentNotFound."""
        rows: Any = Comment.objects.visible_to(self.principal).select_related("prompt")
        one: Comment | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise CommentNotFound
        return one

    @extend_schema(request=ReplyIn, responses={201: CommentOut})
    def post(self, request: Request, pk: str) -> Response:
        """Answer a comment."""
        comment = self.found(pk)
        made = commenting.reply(self.principal, comment, self.checked(ReplyIn)["text"])
        return _shown(made, status.HTTP_201_CREATED)

    @extend_schema(request=CommentChangeIn, responses=CommentOut)
    def patch(self, request: Request, pk: str) -> Response:
        """Change one's own words (for 15 minutes), or settle a thread and open it again."""
        comment = self.found(pk)
        body = self.checked(CommentChangeIn)
        if len(body) != 1:
            raise Invalid.field("text", "Send either text or resolved.", code="required")
        if "text" in body:
            return _shown(commenting.edit_comment(self.principal, comment, body["text"]))
        act = commenting.resolve_comment if body["resolved"] else commenting.reopen_comment
        return _shown(act(self.principal, comment))


def _shown(comment: Comment, code: int = status.HTTP_200_OK) -> Response:
    return Response(CommentOut(Comment.objects.with_names().get(pk=comment.pk)).data, status=code)
