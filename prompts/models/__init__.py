"""The tables of the prompt domain, one file per noun."""

from prompts.models.alias import PromptAlias
from prompts.models.calling import CallerDay
from prompts.models.collection import Collection, Tag
from prompts.models.deployment import Deployment, DeploymentEvent, Environment
from prompts.models.draft import Draft
from prompts.models.finding import Favourite, MetadataField, MetadataValue, PromptUsage, Rating, Standing
from prompts.models.golden import GoldenRun
from prompts.models.importing import ImportedPrompt, ImportRun
from prompts.models.optimising import OptimiserCall, OptimiserRun, Search, Suggestion
from prompts.models.prompt import Prompt
from prompts.models.review import Comment, Mention, ReviewDecision, ReviewRequest
from prompts.models.schedule import FreezeWindow, ScheduledDeployment
from prompts.models.search import SearchDocument
from prompts.models.serving import ServingProcess, ServingStep
from prompts.models.testcase import Suite, SuiteCase, SuiteCheck, SuiteRequirement, SuiteResult, SuiteRun
from prompts.models.version import SnippetUse, Version

__all__ = [
    "CallerDay",
    "Collection",
    "Comment",
    "Deployment",
    "DeploymentEvent",
    "Draft",
    "Environment",
    "Favourite",
    "FreezeWindow",
    "GoldenRun",
    "ImportRun",
    "ImportedPrompt",
    "Mention",
    "MetadataField",
    "MetadataValue",
    "OptimiserCall",
    "OptimiserRun",
    "Prompt",
    "PromptAlias",
    "PromptUsage",
    "Rating",
    "ReviewDecision",
    "ReviewRequest",
    "ScheduledDeployment",
    "Search",
    "SearchDocument",
    "ServingProcess",
    "ServingStep",
    "SnippetUse",
    "Standing",
    "Suggestion",
    "Suite",
    "SuiteCase",
    "SuiteCheck",
    "SuiteRequirement",
    "SuiteResult",
    "SuiteRun",
    "Tag",
    "Version",
]
