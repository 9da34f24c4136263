"""Shapes of the prompt API. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from promptlab.accounts.access import Principal
from prompts import snippets
from prompts.models import DeploymentEvent, Environment, Prompt, Version
from prompts.search import Match
from prompts.services.fields import said


class VersionOut(serializers.ModelSerializer[Version]):
    """One version. `content` is the text; `prompt_text` the same under the name the delivery uses.

    `includes` are the names of the prompts whose texts it includes.
    """

    name = serializers.CharField(source="prompt.name")
    type = serializers.CharField(source="prompt.type")
    version = serializers.IntegerField(source="number")
    content = serializers.CharField(source="text")
    prompt_text = serializers.CharField(source="text")
    sha256 = serializers.CharField(source="checksum")
    author = serializers.CharField(source="author_label")
    includes = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = [
            "id",
            "name",
            "type",
            "version",
            "number",
            "version_string",
            "content",
            "prompt_text",
            "messages",
            "model",
            "parameters",
            "variables",
            "syntax",
            "output_schema",
            "stop",
            "tools",
            "model_texts",
            "includes",
            "message",
            "author",
            "sha256",
            "review_state",
            "created_at",
        ]

    def get_includes(self, version: Version) -> list[str]:
        return list(snippets.included_in(version))


class MessageIn(serializers.Serializer[Any]):
    """One part of a chat prompt: role and content, or a placeholder."""

    role = serializers.ChoiceField(["system", "user", "assistant"], required=False)
    content = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    placeholder = serializers.CharField(required=False)


class ContentIn(serializers.Serializer[Any]):
    """What a version says: `content` for text, `messages` for chat. Texts include others by `{{> name}}`."""

    content = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    messages = MessageIn(many=True, required=False)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    parameters = serializers.DictField(required=False)
    variables = serializers.DictField(child=serializers.DictField(), required=False)
    syntax = serializers.ChoiceField(Version.Syntax.choices, required=False)
    output_schema = serializers.DictField(required=False, help_text="A JSON schema of the answer.")
    stop = serializers.ListField(child=serializers.CharField(trim_whitespace=False), required=False)
    tools = serializers.ListField(child=serializers.DictField(), required=False)
    model_texts = serializers.DictField(
        required=False,
        help_text="By the name of a model what it is sent instead: a text, or messages in a chat prompt.",
    )
    version_string = serializers.CharField(required=False, allow_blank=True, max_length=100)
    message = serializers.CharField(required=False, allow_blank=True, max_length=500)


class VersionIn(ContentIn):
    allow_secret = serializers.CharField(
        required=False, max_length=500, help_text="Why what looks like a key is none; for administrators."
    )


class PromptIn(VersionIn):
    title = serializers.CharField(max_length=200)
    name = serializers.CharField(required=False, max_length=255)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    collection_id = serializers.IntegerField(required=False, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=50), required=False, max_length=50)
    metadata = serializers.DictField(
        required=False, help_text="Values in your team's fields by their keys; null: none."
    )
    model_type = serializers.CharField(required=False, allow_blank=True, max_length=100)
    type = serializers.ChoiceField(["text", "chat"], required=False)
    team_id = serializers.IntegerField(required=False, write_only=True)


class PromptOut(serializers.ModelSerializer[Prompt]):
    """A prompt with its newest version inline. `live` says which version is live where.

    Of other teams' prompts in the library neither that nor how much they are used is told.
    """

    collection_id = serializers.IntegerField(allow_null=True)
    tags = serializers.SlugRelatedField("name", many=True, read_only=True)
    content = serializers.CharField(source="newest.text")
    messages = serializers.JSONField(source="newest.messages")
    variables = serializers.JSONField(source="newest.variables")
    syntax = serializers.CharField(source="newest.syntax")
    output_schema = serializers.JSONField(source="newest.output_schema")
    stop = serializers.JSONField(source="newest.stop")
    tools = serializers.JSONField(source="newest.tools")
    model_texts = serializers.JSONField(source="newest.model_texts")
    includes = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="newest.number")
    version_string = serializers.CharField(source="newest.version_string")
    latest_version = serializers.SerializerMethodField()
    forked_from = serializers.SerializerMethodField()
    live = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField()
    stars = serializers.SerializerMethodField()
    ratings_count = serializers.IntegerField()
    is_favourite = serializers.BooleanField(help_text="Of the person who asks.")
    uses_30d = serializers.SerializerMethodField()

    class Meta:
        model = Prompt
        fields = [
            "id",
            "name",
            "title",
            "description",
            "type",
            "model_type",
            "collection_id",
            "tags",
            "content",
            "messages",
            "variables",
            "syntax",
            "output_schema",
            "stop",
            "tools",
            "model_texts",
            "includes",
            "version",
            "version_string",
            "latest_version",
            "forked_from",
            "live",
            "metadata",
            "stars",
            "ratings_count",
            "is_favourite",
            "uses_30d",
            "created_at",
            "updated_at",
        ]

    def get_includes(self, prompt: Prompt) -> list[str]:
        assert prompt.newest is not None
        prompt.newest.prompt = prompt  # known already: saves a query for each row
        return list(snippets.included_in(prompt.newest))

    @extend_schema_field(VersionOut)
    def get_latest_version(self, prompt: Prompt) -> dict[str, Any]:
        assert prompt.newest is not None
        prompt.newest.prompt = prompt  # known already: saves a query for each row
        return VersionOut(prompt.newest).data

    @extend_schema_field(
        {
            "type": ["object", "null"],
            "properties": {"name": {"type": "string"}, "version": {"type": "integer"}},
        }
    )
    def get_forked_from(self, prompt: Prompt) -> dict[str, Any] | None:
        source = prompt.forked_from
        return {"name": source.prompt.name, "version": source.number} if source else None

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_live(self, prompt: Prompt) -> dict[str, int]:
        if self._is_others(prompt):
            return {}
        return {pointer.environment.name: pointer.version.number for pointer in prompt.live}  # type: ignore[attr-defined]

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_metadata(self, prompt: Prompt) -> dict[str, Any]:
        return {one.field.key: said(one.value) for one in prompt.fields_set}  # type: ignore[attr-defined]

    @extend_schema_field(
        {"type": ["number", "null"], "format": "double", "description": "The average of its ratings, 1 to 5."}
    )
    def get_stars(self, prompt: Prompt) -> float | None:
        return prompt.stars or None  # type: ignore[attr-defined]

    @extend_schema_field({"type": ["integer", "null"], "description": "Fetches and answers of the last 30 days."})
    def get_uses_30d(self, prompt: Prompt) -> int | None:
        return None if self._is_others(prompt) else prompt.uses_30d  # type: ignore[attr-defined]

    def _is_others(self, prompt: Prompt) -> bool:
        """Tell whether it is another team's, seen in the library."""
        principal: Principal = self.context["principal"]
        return not principal.is_system and prompt.team_id not in principal.grants


class MatchOut(serializers.Serializer[Any]):
    """Where words were found: `spans` are [start, end) in `excerpt`; `version` with newest and live."""

    field = serializers.ChoiceField(["title", "name", "description", "newest", "live"])
    version = serializers.IntegerField(required=False)
    excerpt = serializers.CharField()
    spans = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))

    def to_representation(self, instance: Match) -> dict[str, Any]:
        version = {} if instance.version is None else {"version": instance.version}
        spans = [list(span) for span in instance.spans]
        return {"field": instance.field, **version, "excerpt": instance.excerpt, "spans": spans}


class PromptRowOut(PromptOut):
    """A prompt in a list. `matches`, of a search: where in the prompt it was found."""

    matches = MatchOut(many=True, required=False)

    class Meta(PromptOut.Meta):
        fields = [*PromptOut.Meta.fields, "matches"]


class ForkIn(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200)
    name = serializers.CharField(required=False, max_length=255)
    team_id = serializers.IntegerField(required=False, write_only=True, help_text="Where the copy goes.")


class RenameIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)


class DeploymentIn(serializers.Serializer[Any]):
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    version_string = serializers.CharField(required=False, max_length=100)
    version = serializers.IntegerField(required=False, min_value=1)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    confirm = serializers.BooleanField(required=False)
    break_glass = serializers.CharField(
        required=False, allow_blank=True, max_length=500, help_text="Why it passes review and freezes; administrators."
    )
    team_id = serializers.IntegerField(required=False, write_only=True)


class RollbackIn(serializers.Serializer[Any]):
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    version = serializers.IntegerField(required=False, min_value=1, help_text="An earlier version to go back to.")
    deployment_id = serializers.IntegerField(required=False, min_value=1, help_text="An earlier move to go back to.")
    team_id = serializers.IntegerField(required=False, write_only=True)


class DeploymentOut(serializers.ModelSerializer[DeploymentEvent]):
    """One move of the pointer. `version` is null after the prompt was taken off."""

    prompt_name = serializers.CharField(source="prompt.name")
    environment = serializers.CharField(source="environment.name")
    version = serializers.IntegerField(source="to_version.number", allow_null=True, default=None)
    version_string = serializers.CharField(source="to_version.version_string", default="")
    previous_version = serializers.IntegerField(source="from_version.number", allow_null=True, default=None)
    actor = serializers.CharField(source="actor_label")
    deployed_at = serializers.DateTimeField(source="at")

    class Meta:
        model = DeploymentEvent
        fields = [
            "id",
            "prompt_name",
            "environment",
            "kind",
            "version",
            "version_string",
            "previous_version",
            "revision",
            "note",
            "actor",
            "deployed_at",
        ]


class EnvironmentOut(serializers.ModelSerializer[Environment]):
    """An environment with what it asks for; `suites` are the test suites that have to be green."""

    suites = serializers.ListField(source="suite_names", child=serializers.CharField())

    class Meta:
        model = Environment
        fields = [
            "id", "name", "position", "revision", "is_protected", "approvals_needed", "four_eyes", "drift_budget_usd",
            "suites",
        ]  # fmt: skip
