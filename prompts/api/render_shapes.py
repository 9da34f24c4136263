"""Shapes of what a version comes to: filled in, with what it includes. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from prompts.api.serializers import MessageIn


class RenderIn(serializers.Serializer[Any]):
    variables = serializers.DictField(required=False)
    missing = serializers.ChoiceField(["error", "keep", "empty"], required=False)
    environment = serializers.CharField(
        required=False, max_length=36, help_text="Whose live versions are included; without it, the key's own."
    )
    model = serializers.CharField(
        required=False,
        max_length=100,
        help_text="The model that is asked; one that has a text of its own gets that one.",
    )


class RenderOut(serializers.Serializer[Any]):
    """What a model would be sent. `snippets` has the number of each version that was included, by name."""

    text = serializers.CharField()
    messages = MessageIn(many=True)
    snippets = serializers.DictField(child=serializers.IntegerField())


class UseOut(serializers.Serializer[Any]):
    """A prompt that includes this one. `newest_version` is null where the newest one does not; `live` says where it does."""

    name = serializers.CharField(source="prompt.name")
    title = serializers.CharField(source="prompt.title")
    is_direct = serializers.BooleanField(help_text="False: through others that it includes.")
    newest_version = serializers.IntegerField(source="newest", allow_null=True)
    live = serializers.DictField(child=serializers.IntegerField())


class ServedOut(serializers.Serializer[Any]):
    """What a version's includes meant while it was live, from one revision until before another; null: still."""

    environment = serializers.CharField()
    from_revision = serializers.IntegerField()
    until_revision = serializers.IntegerField(allow_null=True)
    snippets = serializers.DictField(child=serializers.IntegerField())
