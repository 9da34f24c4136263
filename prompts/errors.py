"""What the prompt domain refuses, each with a code, and the next step in its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, Invalid, NotFound, Stale, TooLarge


class PromptNotFound(NotFound):
    code = "prompt_not_found"
    detail = _("There is no prompt {name}.")


class VersionNotFound(NotFound):
    code = "version_not_found"
    detail = _("The prompt {prompt} has no version {selector}.")


class NotDeployed(NotFound):
    code = "not_deployed"
    detail = _("No version of {prompt} is live in {environment}.")


class EnvironmentNotFound(NotFound):
    code = "environment_not_found"
    detail = _("There is no environment {environment}. Known: {known}.")


class NameTaken(Conflict):
    code = "name_taken"
    detail = _("The short name {name} is taken. Choose another one.")


class VersionStringTaken(Conflict):
    code = "version_string_taken"
    detail = _("Version {number} of {prompt} is already called {version_string}.")


class VersionFrozen(Conflict):
    code = "version_frozen"
    detail = _("A version never changes once it is saved. Save a new one instead.")


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


class PromptArchived(Conflict):
    code = "prompt_archived"
    detail = _("{prompt} is archived. Bring it back before changing it.")


class VariablesChanged(Conflict):
    """Running callers would miss a variable, or send one in vain. Repeat with `confirm` once they are told."""

    code = "variables_changed"
    detail = _(
        "This version needs other variables than the live one ({changes}). Repeat with confirm once callers know."
    )


class NothingToGoBackTo(Conflict):
    code = "nothing_to_roll_back"
    detail = _("Nothing was live in {environment} before the current version of {prompt}.")


class TextInvalid(Invalid):
    code = "template_syntax"
    detail = _("The text cannot be read: {problem}")


class NeverLive(Conflict):
    code = "never_live"
    detail = _("{prompt} {target} was never live in {environment} before. Going back restores what was.")


class LiveAlready(Conflict):
    code = "live_already"
    detail = _("{prompt} v{version} is live in {environment} already.")


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"
    detail = _("There is no such deployment.")


class LiveInProtected(Conflict):
    """Archived things cannot be changed, and what protected environments serve has to stay changeable."""

    code = "live_in_protected"
    detail = _("Live in a protected environment: {prompts}. Stop serving them there first.")


class TooDeep(Invalid):
    code = "too_deep"
    detail = _("Collections stand at most {deepest} inside each other.")


class InItself(Invalid):
    code = "in_itself"
    detail = _("{collection} cannot be inside of itself.")


class WiderThanParent(Invalid):
    code = "wider_than_parent"
    detail = _("{collection} is inside of {parent}, which fewer people see. Widen {parent} first.")


class OwnerNeeded(Invalid):
    code = "owner_needed"
    detail = _("A private collection belongs to a person. Say who owns it.")


class NotYourCollection(Forbidden):
    code = "not_your_collection"
    detail = _("Only its owner or an administrator changes who owns {collection} and who sees it.")


class CollectionArchived(Conflict):
    code = "collection_archived"
    detail = _("{collection} is archived. Bring it back first.")


class HoldsPrivate(Conflict):
    code = "holds_private"
    detail = _("A private collection of somebody else is in {collection}. An administrator can archive it.")


class TagNotFound(NotFound):
    code = "tag_not_found"
    detail = _("There is no such tag.")


class TagTaken(Conflict):
    code = "tag_taken"
    detail = _("There is a tag {tag} already. Merge the two instead.")


class FieldNotFound(NotFound):
    code = "field_not_found"
    detail = _("There is no such field.")


class FieldTaken(Conflict):
    code = "field_taken"
    detail = _("There is a field {key} already. Choose another short name.")


class FieldInUse(Conflict):
    """Values would lose their meaning."""

    code = "field_in_use"
    detail = _("{values} prompt(s) have a value in {field}: {change} is not possible. Change those prompts first.")


class PersonNeeded(Forbidden):
    code = "person_needed"
    detail = _("Favourites and stars belong to people. Sign in as one; a key has none.")


class LibraryReadOnly(Forbidden):
    code = "library_read_only"
    detail = _("{prompt} is another team's, in the library: to read and to copy. Copy it into your team to change it.")


class ReviewRequired(Conflict):
    code = "review_required"
    detail = _(
        "{prompt} v{version} needs {missing} more approval(s) to go live in {environment}. Who may approve: {reviewers}."
    )


class EnvironmentFrozen(Conflict):
    code = "environment_frozen"
    detail = _("Nothing goes live in {environment} until {until}: {reason}")


class EnvironmentInUse(Conflict):
    code = "environment_in_use"
    detail = _("Applications know {environment} by this name: {reason}. Make a new environment instead.")


class FreezeNotFound(NotFound):
    code = "freeze_not_found"
    detail = _("There is no such freeze.")


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


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"
    detail = _("There is no such planned deployment.")


class NotWaiting(Conflict):
    code = "not_waiting"
    detail = _("This planned deployment is over: {state}.")


class SnippetNotFound(Invalid):
    """A text includes what the team does not have. `names` are all of them."""

    code = "snippet_not_found"
    detail = _("There is no prompt to include under the name {missing}.")

    @classmethod
    def of(cls, absent: Sequence[Any]) -> SnippetNotFound:
        """Return the error for some `snippets.Absent`."""
        names = list(dict.fromkeys(one.name for one in absent))
        return cls(missing=", ".join(names), names=names)


class SnippetNotLive(Conflict):
    """What a version includes is live nowhere in an environment. `names` are all of it."""

    code = "snippet_not_live"
    detail = _("Not live in {environment}: {missing}. Put it live there first.")

    @classmethod
    def of(cls, absent: Sequence[Any], environment: str) -> SnippetNotLive:
        """Return the error for some `snippets.Absent`."""
        names = list(dict.fromkeys(one.name for one in absent))
        missing = ", ".join(dict.fromkeys(f"{one.name} (included by {one.by})" for one in absent))
        return cls(missing=missing, names=names, environment=environment)


class SnippetCycle(Conflict):
    code = "snippet_cycle"
    detail = _("Texts include each other in a circle: {path}.")


class SnippetTooDeep(Conflict):
    code = "snippet_too_deep"
    detail = _("Texts include each other more than {most} levels deep: {path}.")


class SnippetOtherSyntax(Conflict):
    code = "snippet_syntax"
    detail = _("{prompt} is written in {syntax} and includes {snippet}, which is written in {other}. Use one syntax.")


class SnippetsTooLong(Conflict):
    code = "snippets_too_long"
    detail = _("With all that it includes, {prompt} is longer than {most} characters.")


class SnippetInUse(Conflict):
    """Live versions include it: without it they could not be served. `names` are their prompts."""

    code = "snippet_in_use"
    detail = _("Live in {environment} and including {prompt}: {users}. Put versions without it live first.")


class SecretInText(Invalid):
    """A key or password stands in a text. `problems` names each field; no value is told."""

    code = "secret_in_text"
    detail = _("Line {line} of {field} has {kind}. Take it out: whoever may read the prompt could use it.")


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


class TooManyProcesses(Conflict):
    code = "too_many_processes"
    detail = _("Already {limit} processes report for {environment}. This one is served all the same; it is not listed.")


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


class SuiteNotFound(NotFound):
    code = "suite_not_found"
    detail = _("There is no such test suite.")


class CaseNotFound(NotFound):
    code = "case_not_found"
    detail = _("There is no such case.")


class RunNotFound(NotFound):
    code = "run_not_found"
    detail = _("There is no such run.")


class CaseTaken(Conflict):
    code = "case_taken"
    detail = _("There is a case {name} in this suite already. Choose another name.")


class TooManyCases(Conflict):
    code = "too_many_cases"
    detail = _("A suite has at most {most} cases. Make another suite.")


class TooManySuites(Conflict):
    code = "too_many_suites"
    detail = _("A team has at most {most} test suites. Archive one first.")


class TooManyRuns(Conflict):
    code = "too_many_runs"
    detail = _("{open} runs of your team wait already. Wait for one to end, or cancel it.")


class SuiteNotReady(Invalid):
    """Asking would be in vain: no cases, nothing to check, or cases that do not fit the prompt. `problems` names them."""

    code = "suite_not_ready"
    detail = _("{suite} cannot be run: {problem}")


class RunOver(Conflict):
    code = "run_over"
    detail = _("This run is over: {state}.")


class NotComparable(Invalid):
    code = "not_comparable"
    detail = _("These runs cannot be compared: {problem}")


class SuiteRequired(Conflict):
    """An environment asks for the suite."""

    code = "suite_required"
    detail = _("{environments} ask(s) for this suite. Have them ask for another one first.")


class SuiteNotGreen(Conflict):
    """What an environment asks for by a test suite is not there, or is not good enough. `problem` says what, `step` what next."""

    code = "suite_not_green"
    detail = _("{suite}: {problem} {step}")


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
