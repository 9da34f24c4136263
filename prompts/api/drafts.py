"""The caller's own draft of a prompt, over REST; and what else is done with a prompt's name and copies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from prompts.api.draft_shapes import DraftIn, DraftOut, DraftSaveIn
from prompts.api.serializers import ForkIn, PromptOut, RenameIn, VersionOut
from prompts.api.versions import OfVersions
from prompts.api.views import OfPrompts, if_match
from prompts.errors import DraftStale
from prompts.models import Draft, Prompt
from prompts.services import authoring, drafting, naming

BODY = ("content", "messages", *drafting.SETTINGS, "message")
"""What a draft holds of what is sent."""


class DraftDetail(OfPrompts):
    filter_backends = ()

    @extend_schema(responses=DraftOut)
    def get(self, request: Request, prompt: str) -> Response:
        """Return your draft; without one (`row_version` 0) what it would begin with: the newest version."""
        one = self.prompt(prompt)
        return _shown(one, drafting.draft_of(self.principal, one))

    @extend_schema(request=DraftIn, responses=DraftOut)
    def put(self, request: Request, prompt: str) -> Response:
        """Keep a draft, errors and all: `problems` says what would be refused. `row_version` or If-Match: 412 if stale."""
        one = self.prompt(prompt)
        body = self.checked(DraftIn)
        self._match(one, body)
        kept = drafting.keep_draft(
            self.principal,
            one,
            _words(body),
            row_version=body.get("row_version"),
            started_from=body.get("started_from"),
        )
        return _shown(one, kept)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, prompt: str) -> Response:
        """Throw your draft away."""
        drafting.discard_draft(self.principal, self.prompt(prompt))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _match(self, prompt: Prompt, body: dict[str, Any]) -> None:
        """Turn an If-Match into the `row_version` it stands for. Raises DraftStale for a tag of no present state."""
        wanted = if_match(self.request)
        if wanted in ("", "*") or "row_version" in body:
            return
        kept = drafting.draft_of(self.principal, prompt)
        if kept is None or kept.etag != wanted:
            newest, etag = (kept.body, kept.etag) if kept else (None, "")
            raise DraftStale(prompt=prompt.title, yours=_words(body), newest=newest, etag=etag)
        body["row_version"] = kept.row_version


class DraftSave(OfPrompts):
    filter_backends = ()

    @extend_schema(request=DraftSaveIn, responses={201: VersionOut, 200: VersionOut})
    def post(self, request: Request, prompt: str) -> Response:
        """Save your draft, or what is sent, as a version: 201. A newer version than it began with: 409, until `confirm`."""
        one = self.prompt(prompt)
        body = self.checked(DraftSaveIn)
        words = _words(body)
        saved, is_new = drafting.publish_draft(
            self.principal,
            one,
            body=words if words.keys() - {"message"} else None,
            version_string=body.get("version_string", ""),
            message=body.get("message", ""),
            confirm=body.get("confirm", False),
            allow_secret=body.get("allow_secret", ""),
        )
        return Response(VersionOut(saved).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class VersionFork(OfVersions):
    reads_library = ("POST",)

    @extend_schema(request=ForkIn, responses={201: PromptOut})
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Make a prompt of its own whose version 1 says what this version says; of the library's, in a team of yours."""
        found = self.version(self.prompt(prompt), version)
        body = self.checked(ForkIn)
        team_id = body.get("team_id", found.prompt.team_id)
        if team_id not in self.principal.grants:
            team_id = self.principal.team_for("prompt.write", body.get("team_id"))
        made = authoring.fork_prompt(self.principal, found, body["title"], body.get("name", ""), team_id)
        response = self.shown(made, status.HTTP_201_CREATED)
        response["Location"] = f"/api/v1/prompts/{made.pk}"
        return response


class PromptRename(OfPrompts):
    @extend_schema(request=RenameIn, responses=PromptOut)
    def post(self, request: Request, prompt: str) -> Response:
        """Change the short name. Once the prompt was live anywhere, the old one keeps working and says Deprecation."""
        one = self.prompt(prompt)
        return self.shown(naming.rename_prompt(self.principal, one, self.checked(RenameIn)["name"]))


def _words(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in BODY if name in body}


def _shown(prompt: Prompt, draft: Draft | None) -> Response:
    assert prompt.newest is not None
    prompt.newest.prompt = prompt  # known already: saves a query
    newest = authoring.said(prompt.newest.content)
    words = draft.body if draft else {}
    begins = {} if "content" in words or "messages" in words else newest
    found = {
        **{name: {**newest, **begins, **words}.get(name) for name in drafting.SETTINGS},
        "content": words.get("content", begins.get("content", "")),
        "messages": words.get("messages", begins.get("messages", [])),
        "message": words.get("message", ""),
        "started_from": draft.started_from if draft else prompt.newest.number,
        "newest_version": prompt.newest.number,
        "row_version": draft.row_version if draft else 0,
        "updated_at": draft.updated_at if draft else None,
        "problems": [asdict(problem) for problem in drafting.problems_in(words, prompt)],
    }
    return Response(DraftOut(found).data, headers={"ETag": draft.etag} if draft else None)
