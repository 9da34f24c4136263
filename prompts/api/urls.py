"""Addresses of the prompt API, with or without a trailing slash."""

from __future__ import annotations

from django.urls import re_path

from prompts.api import (
    collections,
    convergence,
    deployments,
    drafts,
    estimating,
    heartbeats,
    labels,
    plans,
    porting,
    reviews,
    standing,
    versions,
    views,
)

P = r"^prompts/(?P<prompt>[^/@]+)"
V = rf"{P}/versions/(?P<version>[^/]+)"

HOT = heartbeats.ROUTES
"""Answered by `promptlab.asgi` before Django; named here, so that the API's description knows them in every process."""

urlpatterns = [
    re_path(r"^collections/?$", collections.CollectionList.as_view()),
    re_path(r"^collections/(?P<pk>\d+)/?$", collections.CollectionDetail.as_view()),
    re_path(r"^collections/(?P<pk>\d+)/restore/?$", collections.CollectionRestore.as_view()),
    re_path(r"^tags/?$", labels.TagList.as_view()),
    re_path(r"^tags/(?P<pk>\d+)/?$", labels.TagDetail.as_view()),
    re_path(r"^tags/(?P<pk>\d+)/merge/?$", labels.TagMerge.as_view()),
    re_path(r"^fields/?$", labels.FieldList.as_view()),
    re_path(r"^fields/(?P<pk>\d+)/?$", labels.FieldDetail.as_view()),
    re_path(r"^environments/?$", views.EnvironmentList.as_view()),
    re_path(r"^environments/(?P<name>[^/]+)/?$", plans.EnvironmentDetail.as_view()),
    re_path(r"^environments/(?P<name>[^/]+)/freezes/?$", plans.FreezeList.as_view()),
    re_path(r"^environments/(?P<name>[^/]+)/freezes/(?P<pk>\d+)/?$", plans.FreezeDetail.as_view()),
    re_path(r"^prompts/?$", views.PromptList.as_view()),
    re_path(rf"{P}/?$", views.PromptDetail.as_view()),
    re_path(rf"{P}/draft/?$", drafts.DraftDetail.as_view()),
    re_path(rf"{P}/draft/save/?$", drafts.DraftSave.as_view()),
    re_path(rf"{P}/rename/?$", drafts.PromptRename.as_view()),
    re_path(rf"{P}/favourite/?$", standing.PromptFavourite.as_view()),
    re_path(rf"{P}/rating/?$", standing.PromptRating.as_view()),
    re_path(rf"{P}/ratings/?$", standing.RatingList.as_view()),
    re_path(rf"{P}/usage/?$", standing.PromptUse.as_view()),
    re_path(rf"{P}/versions/?$", versions.VersionList.as_view()),
    re_path(rf"{V}/?$", versions.VersionDetail.as_view()),
    re_path(rf"{V}/revert/?$", versions.VersionRevert.as_view()),
    re_path(rf"{V}/fork/?$", drafts.VersionFork.as_view()),
    re_path(rf"{V}/render/?$", versions.VersionRender.as_view()),
    re_path(rf"{V}/served-with/?$", versions.VersionServedWith.as_view()),
    re_path(rf"{P}/used-by/?$", versions.PromptUsedBy.as_view()),
    re_path(rf"{V}/diff/(?P<other>[^/]+)/?$", versions.VersionDiff.as_view()),
    re_path(rf"{V}/submit/?$", reviews.Submit.as_view()),
    re_path(rf"{V}/approve/?$", reviews.Approve.as_view()),
    re_path(rf"{V}/request-changes/?$", reviews.RequestChanges.as_view()),
    re_path(rf"{V}/withdraw/?$", reviews.Withdraw.as_view()),
    re_path(rf"{P}/comments/?$", reviews.CommentList.as_view()),
    re_path(r"^comments/(?P<pk>\d+)/?$", reviews.CommentDetail.as_view()),
    re_path(r"^reviews/?$", reviews.ReviewList.as_view()),
    re_path(rf"{P}/live/?$", deployments.LiveAt.as_view()),
    re_path(r"^schedules/?$", plans.ScheduleList.as_view()),
    re_path(r"^schedules/(?P<pk>\d+)/?$", plans.ScheduleDetail.as_view()),
    re_path(r"^deployments/promote/?$", deployments.Promote.as_view()),
    re_path(r"^deployments/undeploy/?$", deployments.Undeploy.as_view()),
    re_path(r"^deployments/rollback/?$", deployments.Rollback.as_view()),
    re_path(r"^deployments/(?P<pk>\d+)/?$", deployments.DeploymentDetail.as_view()),
    re_path(r"^deployments/(?P<pk>\d+)/convergence/?$", convergence.DeploymentConvergence.as_view()),
    re_path(r"^environments/(?P<name>[^/]+)/convergence/?$", convergence.EnvironmentConvergence.as_view()),
    re_path(r"^estimate/?$", estimating.Estimate.as_view()),
    re_path(r"^export/?$", porting.Export.as_view()),
    re_path(r"^import/?$", porting.Import.as_view()),
]
