"""What is refused about moving what is live, and environments."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, NotFound


class NotDeployed(NotFound):
    code = "not_deployed"
    detail = _("No version of {prompt} is live in {environment}.")


class EnvironmentNotFound(NotFound):
    code = "environment_not_found"
    detail = _("There is no environment {environment}. Known: {known}.")


class VariablesChanged(Conflict):
    """Running callers would miss a variable, or send one in vain. Repeat with `confirm` once they are told."""

    code = "variables_changed"
    detail = _(
        "This version needs other variables than the live one ({changes}). Repeat with confirm once callers know."
    )


class NothingToGoBackTo(Conflict):
    code = "nothing_to_roll_back"
    detail = _("Nothing was live in {environment} before the current version of {prompt}.")


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


class EnvironmentFrozen(Conflict):
    code = "environment_frozen"
    detail = _("Nothing goes live in {environment} until {until}: {reason}")


class EnvironmentInUse(Conflict):
    code = "environment_in_use"
    detail = _("Applications know {environment} by this name: {reason}. Make a new environment instead.")


class FreezeNotFound(NotFound):
    code = "freeze_not_found"
    detail = _("There is no such freeze.")


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"
    detail = _("There is no such planned deployment.")


class NotWaiting(Conflict):
    code = "not_waiting"
    detail = _("This planned deployment is over: {state}.")


class TooManyProcesses(Conflict):
    code = "too_many_processes"
    detail = _("Already {limit} processes report for {environment}. This one is served all the same; it is not listed.")
