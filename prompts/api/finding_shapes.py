"""Shapes of what prompts are found by: collections, tags, fields, stars, use. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from promptlab.accounts.access import Principal
from prompts.models import Collection, MetadataField, PromptUsage, Rating, Tag


class PathPartOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class CollectionOut(serializers.ModelSerializer[Collection]):
    """A collection. `path` leads to it from the root, without what is private to others.

    `prompt_count` is of the prompts right in it.
    """

    team = serializers.CharField(source="team.name")
    parent_id = serializers.IntegerField(allow_null=True)
    path = serializers.SerializerMethodField()
    owner_id = serializers.IntegerField(allow_null=True)
    owner = serializers.SerializerMethodField()
    prompt_count = serializers.IntegerField()

    class Meta:
        model = Collection
        fields = [
            "id",
            "team",
            "name",
            "description",
            "parent_id",
            "path",
            "visibility",
            "owner_id",
            "owner",
            "prompt_count",
            "created_at",
            "updated_at",
            "archived_at",
        ]

    @extend_schema_field(PathPartOut(many=True))
    def get_path(self, collection: Collection) -> list[dict[str, Any]]:
        seen = [one for one in collection.way() if one.pk == collection.pk or one.is_seen_by(self._principal)]
        return [{"id": one.pk, "name": one.name} for one in seen]

    def get_owner(self, collection: Collection) -> str:
        return str(collection.owner or "")

    @property
    def _principal(self) -> Principal:
        principal: Principal = self.context["principal"]
        return principal


class CollectionTreeOut(CollectionOut):
    """A collection with those inside of it. `total_count` is of all the prompts in them, too."""

    total_count = serializers.IntegerField()
    children = serializers.SerializerMethodField()

    class Meta(CollectionOut.Meta):
        fields = [*CollectionOut.Meta.fields, "total_count", "children"]

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_children(self, collection: Any) -> list[dict[str, Any]]:
        return [dict(one) for one in CollectionTreeOut(collection.inside, many=True, context=self.context).data]


class CollectionIn(serializers.Serializer[Any]):
    """What is not named stays as it is: `parent_id`, `visibility` and `owner_id` even with PUT."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    parent_id = serializers.IntegerField(
        required=False, allow_null=True, help_text="What it is inside of; null: the root."
    )
    visibility = serializers.ChoiceField(Collection.Visibility.choices, required=False)
    owner_id = serializers.IntegerField(required=False, allow_null=True)
    team_id = serializers.IntegerField(required=False, write_only=True)


class CollectionsAsked(serializers.Serializer[Any]):
    parent = serializers.RegexField(r"^(\d{1,18}|root)$", required=False, help_text="An id, or root.")
    tree = serializers.BooleanField(required=False, help_text="With everything inside, as one answer.")
    archived = serializers.BooleanField(required=False, help_text="The archived ones, instead.")
    library = serializers.BooleanField(required=False, help_text="The library of all teams, instead of one's own.")


class TagOut(serializers.ModelSerializer[Tag]):
    prompt_count = serializers.IntegerField()

    class Meta:
        model = Tag
        fields = ["id", "name", "prompt_count"]


class TagIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50)


class TagMergeIn(serializers.Serializer[Any]):
    into = serializers.IntegerField(help_text="The id of the tag that stays.")


class TagMergedOut(serializers.Serializer[Any]):
    prompts = serializers.IntegerField(help_text="How many carried the tag that ended.")


class FieldOut(serializers.ModelSerializer[MetadataField]):
    class Meta:
        model = MetadataField
        fields = ["id", "key", "title", "type", "choices", "position"]


class FieldChangeIn(serializers.Serializer[Any]):
    title = serializers.CharField(required=False, max_length=100)
    type = serializers.ChoiceField(MetadataField.Type.choices, required=False)
    choices = serializers.ListField(child=serializers.CharField(max_length=500), required=False, max_length=100)
    position = serializers.IntegerField(required=False, min_value=0, max_value=32767)


class FieldIn(FieldChangeIn):
    key = serializers.CharField(max_length=50)
    team_id = serializers.IntegerField(required=False, write_only=True)


class FieldDeletedOut(serializers.Serializer[Any]):
    values = serializers.IntegerField(help_text="How many prompts had a value in it.")


class StarsIn(serializers.Serializer[Any]):
    stars = serializers.IntegerField(min_value=1, max_value=5)
    note = serializers.CharField(required=False, allow_blank=True, max_length=1000)


class StarsOut(serializers.ModelSerializer[Rating]):
    person = serializers.CharField(source="user")

    class Meta:
        model = Rating
        fields = ["person", "stars", "note", "at"]


class UsageAsked(serializers.Serializer[Any]):
    days = serializers.IntegerField(required=False, min_value=1, max_value=400, default=30)


class UsageDayOut(serializers.ModelSerializer[PromptUsage]):
    class Meta:
        model = PromptUsage
        fields = ["day", "fetches", "answers"]


class UsageOut(serializers.Serializer[Any]):
    """How often applications fetched a prompt, and how often the gateway answered with it; days without use are left out."""

    fetches = serializers.IntegerField()
    answers = serializers.IntegerField()
    days = UsageDayOut(many=True)
