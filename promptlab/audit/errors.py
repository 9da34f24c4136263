"""What the activity log refuses."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import DomainError


class AppendOnly(DomainError):
    """An entry of the log cannot be changed or removed, by anybody."""

    code = "append_only"
    status = 409
    detail = _("The activity log only grows. Entries are never changed or removed.")
