"""What is refused about suggested texts."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid, NotFound


class SuggestionNotFound(NotFound):
    code = "suggestion_not_found"
    detail = _("There is no such suggestion.")


class SuggestionDecided(Conflict):
    """Taken, discarded, rejected, or the same as the text: there is nothing to take."""

    code = "suggestion_decided"
    detail = _("There is nothing to decide about this suggestion any more: {state}.")


class PlaceholdersDiffer(Conflict):
    """What is to be saved does not have the placeholders of the version that it was made of."""

    code = "placeholders_differ"
    detail = _("Other placeholders than before: {problem} Put them right, or say that they may differ.")


class NothingToSave(Conflict):
    code = "nothing_to_save"
    detail = _("Version {number} says the same already.")


class NoSuggestion(Conflict):
    """A model gave no answer to read."""

    code = "no_suggestion"
    detail = _("There is no suggestion: {problem}")


class UnknownGoal(Invalid):
    code = "unknown_goal"
    detail = _("There is no goal {goal}. Known: {known}.")


class GoalNotReady(Conflict):
    """Somebody changed what a goal asks for, to something that cannot be filled in."""

    code = "goal_not_ready"
    detail = _("The prompt {prompt} has to be a text with no other placeholder than: {allowed}.")
