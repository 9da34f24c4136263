"""What is refused about files that come in and go out."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Invalid, TooLarge


class FileInvalid(Invalid):
    """A file of prompts cannot be read. `problems` names the place: line, path, or both."""

    code = "file_invalid"
    detail = _("The file cannot be read: {problem}")


class FileTooLarge(TooLarge):
    code = "file_too_large"
    detail = _("The file is larger than {limit} bytes. Import it in several parts.")


class CannotExport(Invalid):
    """The format has no way of saying what the prompt says."""

    code = "cannot_export"
    detail = _("{prompt} cannot be written as {format}: {problem}")


class ImportRefused(Invalid):
    """Something in the file cannot be imported, so nothing of it was. `problems` names each."""

    code = "import_refused"
    detail = _("Nothing was imported. {problem}")
