"""What is refused about drafts."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, NotFound, Stale


class DraftNotFound(NotFound):
    code = "draft_not_found"
    detail = _("You have no draft of {prompt}.")


class DraftNeedsSomebody(Forbidden):
    code = "draft_needs_somebody"
    detail = _("A draft belongs to a person or a key.")


class DraftStale(Stale):
    """Two windows of one writer. `data` has both texts."""

    code = "draft_stale"
    detail = _("Your draft of {prompt} changed since you read it. Look at both texts and send the one that counts.")


class DraftBehind(Conflict):
    """Somebody saved a version since the draft was begun. `data` has both texts."""

    code = "draft_behind"
    detail = _(
        "Version {version} of {prompt} was saved since you began at {started_from}. Repeat with confirm to go on."
    )
