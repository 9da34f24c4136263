"""Shapes of what differs between two versions. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class DiffSegmentOut(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="same, added or removed")
    text = serializers.CharField()


class DiffLineOut(serializers.Serializer[Any]):
    """One line. `segments`, of a changed one, are its words: those that stayed, went and came."""

    kind = serializers.ChoiceField(["same", "added", "removed", "changed"])
    old = serializers.CharField()
    new = serializers.CharField()
    segments = DiffSegmentOut(many=True)


class DiffMessageOut(serializers.Serializer[Any]):
    """The messages at one position, from 0; a role is `placeholder` for one, empty where none stands."""

    position = serializers.IntegerField()
    kind = serializers.CharField(help_text="same, added, removed or changed")
    old_role = serializers.CharField()
    new_role = serializers.CharField()
    text = DiffLineOut(many=True)


class ChangeOut(serializers.Serializer[Any]):
    old = serializers.JSONField()
    new = serializers.JSONField()


class SettingChangeOut(ChangeOut):
    """A setting before and after, null where it is not made. `segments` are the words of both."""

    segments = DiffSegmentOut(many=True)


class DiffVariablesOut(serializers.Serializer[Any]):
    """Declared variables, required or not; `changed` has both descriptions of each."""

    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = serializers.DictField(child=ChangeOut())


class DiffOut(serializers.Serializer[Any]):
    """What differs. `settings` has the model, the parameters as a whole and the like; `parameters` each of them."""

    text = DiffLineOut(many=True)
    messages = DiffMessageOut(many=True)
    model_texts = serializers.DictField(
        child=DiffLineOut(many=True), help_text="The texts for other models that differ, by the name of the model."
    )
    variables = DiffVariablesOut()
    settings = serializers.DictField(child=SettingChangeOut())
    parameters = serializers.DictField(child=ChangeOut())
