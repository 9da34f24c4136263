"""What is refused about test suites and their runs."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid, NotFound


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
