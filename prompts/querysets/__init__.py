"""Named questions about prompts. Doors start with `visible_to`: a stranger finds nothing."""

from __future__ import annotations

from prompts.querysets.base import EVERYONE, PRIVATE, OfTeam, closed_to, counted, day_ago
from prompts.querysets.collection import (
    DEEPEST,
    CollectionQuerySet,
    MetadataFieldQuerySet,
    MetadataValueQuerySet,
    TagQuerySet,
)
from prompts.querysets.deployment import (
    DeploymentEventQuerySet,
    DeploymentQuerySet,
    EnvironmentQuerySet,
    FreezeWindowQuerySet,
    ScheduledDeploymentQuerySet,
)
from prompts.querysets.importing import ImportRunQuerySet
from prompts.querysets.prompt import (
    STANDING,
    USE_DAYS,
    FavouriteQuerySet,
    PromptAliasQuerySet,
    PromptQuerySet,
    RatingQuerySet,
)
from prompts.querysets.run import OptimiserCallQuerySet, OptimiserRunQuerySet, RunQuerySet, SuggestionQuerySet
from prompts.querysets.suite import (
    GoldenRunQuerySet,
    SuiteCaseQuerySet,
    SuiteCheckQuerySet,
    SuiteQuerySet,
    SuiteResultQuerySet,
    SuiteRunQuerySet,
)
from prompts.querysets.version import CommentQuerySet, DraftQuerySet, ReviewRequestQuerySet, VersionQuerySet

__all__ = [
    "DEEPEST",
    "EVERYONE",
    "PRIVATE",
    "STANDING",
    "USE_DAYS",
    "CollectionQuerySet",
    "CommentQuerySet",
    "DeploymentEventQuerySet",
    "DeploymentQuerySet",
    "DraftQuerySet",
    "EnvironmentQuerySet",
    "FavouriteQuerySet",
    "FreezeWindowQuerySet",
    "GoldenRunQuerySet",
    "ImportRunQuerySet",
    "MetadataFieldQuerySet",
    "MetadataValueQuerySet",
    "OfTeam",
    "OptimiserCallQuerySet",
    "OptimiserRunQuerySet",
    "PromptAliasQuerySet",
    "PromptQuerySet",
    "RatingQuerySet",
    "ReviewRequestQuerySet",
    "RunQuerySet",
    "ScheduledDeploymentQuerySet",
    "SuggestionQuerySet",
    "SuiteCaseQuerySet",
    "SuiteCheckQuerySet",
    "SuiteQuerySet",
    "SuiteResultQuerySet",
    "SuiteRunQuerySet",
    "TagQuerySet",
    "VersionQuerySet",
    "closed_to",
    "counted",
    "day_ago",
]
