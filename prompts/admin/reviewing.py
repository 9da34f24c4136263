"""Reviews: the pages before each act, and the list of what is to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, asks, badge, link, sent
from promptlab.templatetags.promptlab import when
from prompts.admin.discussing import threads
from prompts.admin.shown import KIND_OF_STATE, crumbs, page_of, version_label, with_count
from prompts.models import Comment, Prompt, ReviewDecision, ReviewRequest, ScheduledDeployment, Version
from prompts.services import reviewing


def state_badge(version: Version) -> SafeString:
    """Return what the review came to."""
    return badge(version.get_review_state_display(), KIND_OF_STATE.get(version.review_state, "neutral"))


def review_acts(actor: Principal, version: Version) -> list[dict[str, Any]]:
    """Return the links to what the person may do about the version's review."""
    team_id = version.prompt.team_id
    stands = version.review_state in (Version.ReviewState.IN_REVIEW, Version.ReviewState.APPROVED)
    may_review = stands and actor.may("prompt.review", team_id)
    writes = actor.may("prompt.write", team_id) and version.prompt.archived_at is None
    offers = [
        ("submit", _("Ask for a review…"), not stands and writes),
        ("approve", _("Approve…"), may_review and version.author_id != actor.user_id),
        ("changes", _("Ask for changes…"), may_review),
        ("withdraw", _("Take it back…"), stands and writes),
    ]
    return [
        {"label": label, "url": page_of(f"version_{name}", version.pk)} for name, label, offered in offers if offered
    ]


def review_of(actor: Principal, version: Version) -> dict[str, Any]:
    """Return what a prompt's page shows of its newest version's review."""
    return {"badge": state_badge(version), "acts": review_acts(actor, version)}


def plans_of(prompt: Prompt) -> list[dict[str, Any]]:
    """Return what is planned for a prompt, the next first; no query where it is known that nothing is."""
    if not getattr(prompt, "has_plans", True):
        return []
    rows = ScheduledDeployment.objects.filter(prompt=prompt, state="waiting").with_names()
    return [{"label": str(row), "at": row.due_at, "url": page_of("scheduleddeployment_change", row.pk)} for row in rows]


class NoteForm(HouseForm):
    note = forms.CharField(label=_("What to look at"), max_length=500, required=False)


class VerdictForm(HouseForm):
    """What a reviewer says with a decision."""

    comment = forms.CharField(
        label=_("Comment"),
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages=asks(_("Write something.")),
    )

    def __init__(self, *args: Any, is_required: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["comment"].required = is_required


class ReviewPages(HouseAdmin):
    """Part of the versions' admin, which has their addresses."""

    def review_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/submit/", self.submit_page, "submit"),
            self.own("<int:pk>/approve/", self.approve_page, "approve"),
            self.own("<int:pk>/request-changes/", self.changes_page, "changes"),
            self.own("<int:pk>/withdraw/", self.withdraw_page, "withdraw"),
        ]

    def submit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a review."""
        form = NoteForm(sent(request))
        return self._act(
            request,
            pk,
            "prompt.write",
            form,
            lambda actor, version: reviewing.submit_for_review(actor, version, note=form.cleaned_data["note"]),
            title=_("Ask for a review of %(version)s"),
            submit_label=_("Ask for a review"),
            said=_("Reviewers see it in their list."),
            consequences=[_("It stands in the list “To review”."), _("Nothing goes live.")],
        )

    def approve_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Approve exactly this content."""
        form = VerdictForm(sent(request), is_required=False)
        return self._act(
            request,
            pk,
            "prompt.review",
            form,
            lambda actor, version: reviewing.approve(actor, version, comment=form.cleaned_data["comment"]),
            title=_("Approve %(version)s"),
            submit_label=_("Approve"),
            said=_("Your approval is noted."),
            consequences=[_("It counts for exactly this text and these settings."), _("Nothing goes live.")],
        )

    def changes_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send it back, saying why."""
        form = VerdictForm(sent(request))
        return self._act(
            request,
            pk,
            "prompt.review",
            form,
            lambda actor, version: reviewing.request_changes(actor, version, comment=form.cleaned_data["comment"]),
            title=_("Ask for changes to %(version)s"),
            submit_label=_("Ask for changes"),
            said=_("It went back to its author."),
            consequences=[_("Approvals it had count no more."), _("What is live does not change.")],
        )

    def withdraw_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take the request back."""
        form = HouseForm(sent(request))
        return self._act(
            request,
            pk,
            "prompt.write",
            form,
            reviewing.withdraw,
            title=_("Take back the review of %(version)s"),
            submit_label=_("Take it back"),
            said=_("It is not to be reviewed any more."),
            consequences=[_("It leaves the list “To review”."), _("Approvals it had count no more.")],
        )

    def review_shown(self, request: HttpRequest, version: Version) -> dict[str, Any]:
        """Return what a version's page shows of its review, and what the person may do about it."""
        actor = acting(request)
        found = threads(actor, Comment.objects.filter(version=version), version.prompt)
        about = f"{page_of('prompt_discussion', version.prompt_id)}?version={version.number}"
        count = sum(not one["is_settled"] for one in found)
        return {
            "review_badge": state_badge(version),
            "review_acts": review_acts(actor, version),
            "decisions": list(ReviewDecision.objects.filter(request__version=version).order_by("-id")),
            "threads": found,
            "discussion_url": about,
            "may_comment": actor.may("prompt.comment", version.prompt.team_id),
            "tabs": [
                {"label": version_label(version), "url": page_of("version_change", version.pk), "is_current": True},
                {"label": with_count(_("Discussion"), count), "url": about, "is_current": False},
            ],
        }

    def _act(
        self,
        request: HttpRequest,
        pk: int,
        capability: str,
        form: Any,
        act: Callable[[Principal, Version], object],
        *,
        title: Any,
        said: Any,
        **context: Any,
    ) -> HttpResponse:
        """Answer the page before one act on a version, and do it when the form is sent."""
        version = self.found(request, pk)
        actor = self.demand(request, capability, version)
        url = page_of("version_change", version.pk)

        def do(filled: dict[str, Any]) -> HttpResponse:
            act(actor, version)
            return self.said(request, said, url)

        label = f"{version.prompt.title} {version_label(version)}"
        return self.confirm(
            request,
            do,
            form=form,
            title=title % {"version": label},
            cancel_url=url,
            breadcrumbs=[*crumbs(version.prompt), {"label": version_label(version), "url": url}],
            **context,
        )


class StateFilter(admin.SimpleListFilter):
    """What is to be reviewed, unless something else is asked for."""

    title = _("State")
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        others = [choice for choice in ReviewRequest.State.choices if choice[0] != ReviewRequest.State.OPEN]
        return [*others, (self.ALL, pgettext_lazy("reviews", "All"))]

    def choices(self, changelist: Any) -> Any:
        """Name the usual choice for what it shows."""
        found = list(super().choices(changelist))
        found[0]["display"] = ReviewRequest.State.OPEN.label
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == self.ALL:
            return queryset
        return queryset.filter(state=self.value() or ReviewRequest.State.OPEN)


@admin.register(ReviewRequest)
class ReviewRequestAdmin(HouseAdmin):
    team_path = "version__prompt__team_id"
    list_title = _("To review")
    empty_title = _("Nothing is to be reviewed")
    empty_text = _("Writers ask for a review on a version’s page.")
    list_display = ["version_link", "shown_state", "requested_label", "note", "asked"]
    list_display_links = None
    list_filter = [StateFilter, TeamFilter]
    search_fields = ["version__prompt__title", "version__prompt__name", "note"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("version__prompt")

    @admin.display(description=_("Version"))
    def version_link(self, review: ReviewRequest) -> SafeString:
        return link(page_of("version_change", review.version_id), review.version)

    @admin.display(description=_("State"))
    def shown_state(self, review: ReviewRequest) -> SafeString:
        return badge(review.get_state_display(), KIND_OF_STATE.get(review.state, "info"))

    @admin.display(description=_("Asked"))
    def asked(self, review: ReviewRequest) -> str:
        return when(review.at)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Lead to the version: it is reviewed there."""
        return HttpResponseRedirect(page_of("version_change", thing.version_id))
