"""Versions over REST: list, save, read, go back to, compare, render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.access import require_environment
from promptlab.accounts.rest import id_in, idempotent
from prompts import diff, rendering, resolve, snippets
from prompts.api.contract_shapes import ContractAnswerOut, contract_shown
from prompts.api.diff_shapes import DiffOut
from prompts.api.optimiser_shapes import OriginOut, VersionFullOut
from prompts.api.render_shapes import RenderIn, RenderOut, ServedOut, UseOut
from prompts.api.serializers import VersionIn, VersionOut
from prompts.api.views import OfPrompts, content_from
from prompts.errors import PromptNotFound, VersionNotFound
from prompts.models import Prompt, Version
from prompts.services import authoring, contracting, suggesting
from prompts.services.environments import named

PUT_TOGETHER = ("prompt_text", "messages", "variables", "model_texts", "snippets")
"""What of a version depends on what it includes."""


class OfVersions(OfPrompts):
    """Views that find a version by number, version string or id."""

    serializer_class = VersionOut
    filter_backends = ()

    def version(self, prompt: Prompt, selector: str) -> Version:
        """Return one version of the prompt. Raises VersionNotFound."""
        try:
            return resolve.version_of(prompt, selector)
        except VersionNotFound:
            found = Version.objects.select_related("prompt").filter(prompt=prompt, pk=id_in(selector)).first()
            if found is None:
                raise
            return found

    def put_together(self, version: Version, environment: str) -> snippets.Resolved:
        """Return what the version says in the environment; without includes and a name, nobody is asked.

        Raises PromptNotFound when it includes what the caller may not read, and what `snippets.resolve` raises.
        """
        if not environment and not snippets.included_in(version):
            return snippets.Resolved(version, version.content, {})
        where = environment or self.principal.default_environment
        require_environment(self.principal, where)
        said = snippets.resolve(version, resolve.environment_named(version.prompt.team_id, where))
        included = {one.prompt_id: name for name, one in said.versions.items()}
        read = Prompt.objects.readable_by(self.principal).filter(pk__in=included).values_list("pk", flat=True)
        for pk in included.keys() - set(read) if included else ():
            raise PromptNotFound(name=included[pk])
        return said


class VersionList(OfVersions):
    reads_library = ("GET", "HEAD")

    @extend_schema(responses=VersionOut(many=True))
    def get(self, request: Request, prompt: str) -> Response:
        """List the versions, newest first."""
        rows = Version.objects.filter(prompt=self.prompt(prompt)).select_related("prompt").newest_first()
        return self.page(rows, VersionOut)

    @extend_schema(request=VersionIn, responses={201: VersionOut, 200: VersionOut})
    @idempotent
    def post(self, request: Request, prompt: str) -> Response:
        """Save a new version: 201. The same content as the newest one is not saved again: 200 with that one."""
        one = self.prompt(prompt)
        body = self.checked(VersionIn)
        version, is_new = authoring.create_version(
            self.principal,
            one,
            content_from(body, one),
            version_string=body.get("version_string", ""),
            message=body.get("message", ""),
            allow_secret=body.get("allow_secret", ""),
        )
        return Response(VersionOut(version).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class VersionDetail(OfVersions):
    serializer_class = VersionFullOut
    reads_library = ("GET", "HEAD")

    @extend_schema(
        responses=VersionFullOut,
        parameters=[
            OpenApiParameter("environment", str),
            OpenApiParameter("resolved", bool, description="As with `environment`; without one, the key's own."),
        ],
    )
    def get(self, request: Request, prompt: str, version: str) -> Response:
        """Return one version. It never changes.

        With `?environment=`, `prompt_text`, `messages` and `variables` have what is included as it is live there, and
        `snippets` says which versions that are: as it would be delivered.
        """
        found = self.version(self.prompt(prompt), version)
        origin = suggesting.origin_of(found)
        suggested = OriginOut(origin).data if origin else None
        body, tag = {**VersionOut(found).data, "suggested": suggested}, found.checksum[:32]
        environment = request.query_params.get("environment", "")
        is_resolved = request.query_params.get("resolved", "").lower() in ("1", "true")
        if (environment or is_resolved) and snippets.included_in(found):
            said = self.put_together(found, environment).spec
            body |= {name: value for name, value in said.to_dict().items() if name in PUT_TOGETHER}
            tag = f"{tag[:16]}{said.content.checksum()[:16]}"
        return Response(body, headers={"ETag": f'"{tag}"'})


class VersionRevert(OfVersions):
    @extend_schema(request=None, responses={201: VersionOut})
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Save this version's content as a new version. Nothing goes live."""
        found = self.version(self.prompt(prompt), version)
        made, is_new = authoring.revert_version(self.principal, found)
        return Response(VersionOut(made).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class VersionDiff(OfVersions):
    reads_library = ("GET", "HEAD")

    @extend_schema(responses=DiffOut)
    def get(self, request: Request, prompt: str, version: str, other: str) -> Response:
        """Return what differs: text by line and word, messages by position, variables, model and settings."""
        one = self.prompt(prompt)
        old, new = self.version(one, version), self.version(one, other)
        found = {
            "text": [asdict(line) for line in diff.lines(diff.readable(old), diff.readable(new))],
            "messages": [asdict(part) for part in diff.messages(old, new)],
            "model_texts": {
                name: [asdict(line) for line in found] for name, found in diff.model_texts(old, new).items()
            },
            "variables": asdict(diff.declarations(old, new)),
            "settings": _plain(diff.settings(old, new)),
            "parameters": _plain(diff.parameters(old, new)),
        }
        return Response(DiffOut(found).data)


class VersionRender(OfVersions):
    reads_library = ("POST",)

    @extend_schema(request=RenderIn, responses=RenderOut)
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Put in what is included, as it is live in the environment, and fill the blanks. 400 names every problem."""
        found = self.version(self.prompt(prompt), version)
        body = self.checked(RenderIn)
        said = self.put_together(found, body.get("environment", ""))
        missing = body.get("missing", "error")
        content = said.content.for_model(body.get("model", ""))
        filled = rendering.render(content, body.get("variables", {}), missing=missing)
        is_text = isinstance(filled, str)
        text, messages = (filled, []) if is_text else ("", [part.to_dict() for part in filled])
        return Response({"text": text, "messages": messages, "snippets": said.numbers})


class VersionServedWith(OfVersions):
    pagination_class = None

    @extend_schema(responses=ServedOut(many=True))
    def get(self, request: Request, prompt: str, version: str) -> Response:
        """List which versions its includes meant while it was live, by environment and revision."""
        found = self.version(self.prompt(prompt), version)
        return Response(ServedOut(snippets.served_with(found), many=True).data)


class PromptUsedBy(OfPrompts):
    filter_backends = ()
    pagination_class = None

    @extend_schema(responses=UseOut(many=True))
    def get(self, request: Request, prompt: str) -> Response:
        """List the prompts whose newest or live versions include this one, by name."""
        found = snippets.where_used(self.prompt(prompt), Prompt.objects.visible_to(self.principal))
        return Response(UseOut(found, many=True).data)


def _plain(changes: Mapping[str, diff.Change]) -> dict[str, Any]:
    return {name: asdict(change) for name, change in changes.items()}


class VersionContract(OfVersions):
    serializer_class = ContractAnswerOut
    pagination_class = None

    @extend_schema(parameters=[OpenApiParameter("environment", str)], responses=ContractAnswerOut)
    def get(self, request: Request, prompt: str, version: str) -> Response:
        """Say what going live would change for callers: what they sent in the last 7 days, tokens and dollars.

        Nothing moves. Without an environment, Production.
        """
        one = self.prompt(prompt)
        where = named(one.team_id, (request.query_params.get("environment") or "production")[:36])
        found = contracting.contract_of(self.version(one, version), where)
        return Response({"contract": contract_shown(found)})
