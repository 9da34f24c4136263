"""What is refused about files that come in and go out."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid, NotFound, TooLarge


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


class ImportNotFound(NotFound):
    code = "import_not_found"
    detail = _("There is no such import.")


class ImportTooOld(Conflict):
    code = "import_too_old"
    detail = _("It was imported more than {hours} hours ago. Go back prompt by prompt instead.")


class ImportTouched(Conflict):
    code = "import_touched"
    detail = _("It cannot be taken back as a whole: {reasons}. Nothing was changed.")
