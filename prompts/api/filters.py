"""What lists can be narrowed by. Fixed fields only; an unknown or unreadable value is a 400 that names it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.db.models import Q
from django_filters import rest_framework as filters

from promptlab.accounts.access import Principal
from promptlab.accounts.rest import principal_of
from promptlab.lib.errors import Invalid
from promptlab.lib.words import MAX_TYPED
from prompts import search
from prompts.errors import PersonNeeded
from prompts.models import (
    Collection,
    Comment,
    DeploymentEvent,
    GoldenRun,
    MetadataField,
    MetadataValue,
    OptimiserRun,
    Prompt,
    ReviewRequest,
    ScheduledDeployment,
    SuiteResult,
    SuiteRun,
)
from prompts.querysets import PromptQuerySet
from prompts.services import fields

MAX_TAGS = 10
MOST_FIELDS = 10
MOST_DAYS = 3650
METADATA = "metadata."


def asks_for_library(request: Any) -> bool:
    """Tell whether the library of all teams is listed."""
    return request.query_params.get("library", "").lower() in ("1", "true")


class WholeNumber(filters.NumberFilter):
    """A whole number that a column can hold."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=2**63 - 1, **kwargs)


SEARCH = """Every word must be found: at the beginning of a word of title, short name, description, newest or live text, or
anywhere in title or short name. Words in quotes are a phrase. At most 10. The best first, unless `ordering` is given."""


class Ordering(filters.OrderingFilter):
    """The order that was asked for; what is equal in it, newest first, so that pages do not overlap."""

    def filter(self, qs: Any, value: Any) -> Any:
        ordered = super().filter(qs, value)
        return ordered if ordered is qs else ordered.order_by(*ordered.query.order_by, "-id")


class PromptFilter(filters.FilterSet):
    collection_id = WholeNumber(field_name="collection_id")
    search = filters.CharFilter(method="searched", max_length=MAX_TYPED, help_text=SEARCH)
    tags = filters.CharFilter(method="tagged", help_text="Comma-separated; all of them.")
    model_type = filters.CharFilter(field_name="model_type")
    min_version = WholeNumber(method="of_version")
    environment = filters.CharFilter(method="live_in", help_text="With a version live there.")
    within = WholeNumber(method="somewhere_in", help_text="In this collection, or in one inside of it.")
    favourite = filters.BooleanFilter(method="kept", help_text="What you keep at hand; people only.")
    unused_days = WholeNumber(method="unused", help_text="Older than so many days, and not asked for on any of them.")
    ordering = Ordering(
        fields=[
            ("created_at", "created_at"),
            ("updated_at", "updated_at"),
            ("title", "title"),
            ("name", "name"),
            ("stars", "stars"),
            ("uses_30d", "uses_30d"),
        ]
    )

    class Meta:
        model = Prompt
        fields: list[str] = []

    def searched(self, queryset: PromptQuerySet, name: str, value: str) -> PromptQuerySet:
        return search.found(queryset, value, live=not asks_for_library(self.request))

    def of_version(self, queryset: PromptQuerySet, name: str, value: int) -> PromptQuerySet:
        return queryset.with_version(value)

    def tagged(self, queryset: PromptQuerySet, name: str, value: str) -> PromptQuerySet:
        names = [tag.strip() for tag in value.split(",") if tag.strip()]
        if len(names) > MAX_TAGS:
            raise Invalid.field("tags", f"At most {MAX_TAGS} tags at once.")
        return queryset.tagged(names)

    def live_in(self, queryset: PromptQuerySet, name: str, value: str) -> PromptQuerySet:
        # Of the library, only one's own: where others have what is nobody else's to know.
        return queryset.live_in(value).filter(team__in=self.principal.teams_with("prompt.read"))

    def somewhere_in(self, queryset: PromptQuerySet, name: str, value: int) -> PromptQuerySet:
        return queryset.filter(collection__in=Collection.objects.below(int(value)).values("pk"))

    def kept(self, queryset: PromptQuerySet, name: str, value: bool) -> PromptQuerySet:
        if self.principal.user_id is None:
            raise PersonNeeded
        mine = Q(favourites__user=self.principal.user_id)
        return queryset.filter(mine) if value else queryset.exclude(mine)

    def unused(self, queryset: PromptQuerySet, name: str, value: int) -> PromptQuerySet:
        if not 1 <= value <= MOST_DAYS:
            raise Invalid.field("unused_days", f"Between 1 and {MOST_DAYS} days.")
        rows = queryset.filter(team__in=self.principal.teams_with("prompt.read"))
        return rows.unused_for(int(value))

    def filter_queryset(self, queryset: PromptQuerySet) -> PromptQuerySet:
        """Narrow by the fixed fields, and by the fields that teams added."""
        found: PromptQuerySet = super().filter_queryset(queryset)
        asked = {name: text for name, text in self.data.items() if name.startswith(METADATA)}
        return having(found, asked, self.principal) if asked else found

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self.request)


def having(prompts: PromptQuerySet, asked: Mapping[str, str], principal: Principal) -> PromptQuerySet:
    """Return the prompts with these values: `metadata.KEY` is equal, `metadata.KEY__gte` at least, `__lte` at most.

    One query for the fields. Raises a 400 naming what there is not.
    """
    if len(asked) > MOST_FIELDS:
        raise Invalid.field("metadata", f"At most {MOST_FIELDS} fields at once.")
    split = {name: name.removeprefix(METADATA).partition("__")[::2] for name in asked}
    keys = {key for key, _ in split.values()}
    known = list(MetadataField.objects.visible_to(principal).filter(key__in=keys))
    for name, (key, lookup) in split.items():
        of_key = [field for field in known if field.key == key]
        if not of_key or lookup not in ("", "gte", "lte"):
            raise Invalid.field(name, f"There is no field {name.removeprefix(METADATA)[:60]}.", code="unknown_field")
        values = MetadataValue.objects.filter(
            reduce(or_, [_compared(name, one, lookup, asked[name]) for one in of_key])
        )
        prompts = prompts.filter(pk__in=values.values("prompt"))
    return prompts


def _compared(name: str, field: MetadataField, lookup: str, text: str) -> Q:
    if lookup and field.type not in (MetadataField.Type.NUMBER, MetadataField.Type.DATE):
        raise Invalid.field(name, "Only numbers and dates are more or less than others.")
    try:
        value = fields.from_text(field, text)
    except ValueError as error:
        raise Invalid.field(name, str(error)) from error
    column = fields.COLUMNS[MetadataField.Type(field.type)]
    return Q(field=field, **{f"{column}__{lookup}" if lookup else column: value})


class DeploymentFilter(filters.FilterSet):
    prompt_name = filters.CharFilter(field_name="prompt__name")
    environment = filters.CharFilter(field_name="environment__name")

    class Meta:
        model = DeploymentEvent
        fields: list[str] = []


class ReviewFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=ReviewRequest.State.choices)
    prompt_name = filters.CharFilter(field_name="version__prompt__name")

    class Meta:
        model = ReviewRequest
        fields: list[str] = []


class CommentFilter(filters.FilterSet):
    version = WholeNumber(field_name="version__number")
    resolved = filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Comment
        fields: list[str] = []


class RunFilter(filters.FilterSet):
    suite = filters.CharFilter(field_name="suite__name")
    prompt_name = filters.CharFilter(field_name="version__prompt__name")
    version = filters.NumberFilter(field_name="version__number")
    state = filters.ChoiceFilter(choices=SuiteRun.State.choices)

    class Meta:
        model = SuiteRun
        fields: list[str] = []


class ResultFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=SuiteResult.State.choices)
    model = filters.CharFilter()
    case = filters.CharFilter(field_name="case_name")

    class Meta:
        model = SuiteResult
        fields: list[str] = []


class ImprovementFilter(filters.FilterSet):
    prompt_name = filters.CharFilter(field_name="version__prompt__name")
    version = filters.NumberFilter(field_name="version__number")
    kind = filters.ChoiceFilter(choices=OptimiserRun.Kind.choices)
    goal = filters.CharFilter()
    state = filters.ChoiceFilter(choices=OptimiserRun.State.choices)

    class Meta:
        model = OptimiserRun
        fields: list[str] = []


class DriftFilter(filters.FilterSet):
    environment = filters.CharFilter(field_name="environment__name")
    suite = filters.CharFilter(field_name="suite__name")
    prompt_name = filters.CharFilter(field_name="version__prompt__name")
    verdict = filters.ChoiceFilter(choices=GoldenRun.Verdict.choices)

    class Meta:
        model = GoldenRun
        fields: list[str] = []


class ScheduleFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=ScheduledDeployment.State.choices)
    prompt_name = filters.CharFilter(field_name="prompt__name")
    environment = filters.CharFilter(field_name="environment__name")

    class Meta:
        model = ScheduledDeployment
        fields: list[str] = []
