"""What is refused about prompts and their versions."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, Invalid, NotFound


class PromptNotFound(NotFound):
    code = "prompt_not_found"
    detail = _("There is no prompt {name}.")


class VersionNotFound(NotFound):
    code = "version_not_found"
    detail = _("The prompt {prompt} has no version {selector}.")


class NameTaken(Conflict):
    code = "name_taken"
    detail = _("The short name {name} is taken. Choose another one.")


class VersionStringTaken(Conflict):
    code = "version_string_taken"
    detail = _("Version {number} of {prompt} is already called {version_string}.")


class VersionFrozen(Conflict):
    code = "version_frozen"
    detail = _("A version never changes once it is saved. Save a new one instead.")


class PromptArchived(Conflict):
    code = "prompt_archived"
    detail = _("{prompt} is archived. Bring it back before changing it.")


class TextInvalid(Invalid):
    code = "template_syntax"
    detail = _("The text cannot be read: {problem}")


class PersonNeeded(Forbidden):
    code = "person_needed"
    detail = _("Favourites and stars belong to people. Sign in as one; a key has none.")


class LibraryReadOnly(Forbidden):
    code = "library_read_only"
    detail = _("{prompt} is another team's, in the library: to read and to copy. Copy it into your team to change it.")


class SecretInText(Invalid):
    """A key or password stands in a text. `problems` names each field; no value is told."""

    code = "secret_in_text"
    detail = _("Line {line} of {field} has {kind}. Take it out: whoever may read the prompt could use it.")


class VariablesInvalid(Invalid):
    """Values lack, or are not as the version declares them. `problems` names every one; no value is told."""

    code = "invalid_variables"
    detail = _("Not as declared: {names}.")


class TemplateTooCostly(Invalid):
    code = "template_too_costly"
    detail = _("{problem} Send less, or make the template simpler.")


class TemplateFailed(Invalid):
    """The template does with the values what cannot be done with them, such as comparing a text with a number."""

    code = "template_failed"
    detail = _("Line {line} of the template: {problem}")
