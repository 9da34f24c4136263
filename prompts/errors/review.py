"""What is refused about reviews and comments."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, NotFound


class ReviewRequired(Conflict):
    code = "review_required"
    detail = _(
        "{prompt} v{version} needs {missing} more approval(s) to go live in {environment}. Who may approve: {reviewers}."
    )


class SelfApproval(Forbidden):
    code = "self_approval"
    detail = _("You wrote this version. Somebody else has to approve it.")


class PersonsOnly(Forbidden):
    code = "persons_only"
    detail = _("Only people review. Keys may ask for a review, and write comments.")


class NotInReview(Conflict):
    code = "not_in_review"
    detail = _("{prompt} v{version} is not in review. Ask for a review first.")


class CommentNotFound(NotFound):
    code = "comment_not_found"
    detail = _("There is no such comment.")


class NotYourComment(Forbidden):
    code = "not_your_comment"
    detail = _("Only who wrote a comment changes it. Answer it instead.")


class TooLateToEdit(Conflict):
    code = "too_late_to_edit"
    detail = _("A comment can be changed for {minutes} minutes. Answer it instead.")
