"""What experiments refuse."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, Invalid, NotFound


class ExperimentNotFound(NotFound):
    code = "experiment_not_found"
    detail = _("There is no experiment {key}.")


class KeyTaken(Conflict):
    code = "key_taken"
    detail = _("An experiment is already called {key}. Choose another key.")


class VariantsInvalid(Invalid):
    code = "variants_invalid"


class AlreadyRunning(Conflict):
    code = "already_running"
    detail = _("{running} already runs on this prompt in {environment}. End it first.")


class WrongState(Conflict):
    code = "wrong_state"
    detail = _("The experiment is {state}: {verb} is not possible now.")


class InRunningExperiment(Conflict):
    """What an experiment serves has to stay changeable."""

    code = "in_running_experiment"
    detail = _("In a running experiment: {prompts}. End it first.")


class ControlNotLive(Conflict):
    code = "control_not_live"
    detail = _(
        "The current text is version {control}, but version {live} is live in {environment}. They must be the same."
    )


class NoTextLive(ControlNotLive):
    detail = _("The current text is version {control}, but nothing is live in {environment}. They must be the same.")


class NamespaceTaken(Conflict):
    code = "namespace_taken"
    detail = _("In namespace {namespace} others have these slots: {taken}. Choose free ones, or end them first.")


class NamespaceFull(Conflict):
    code = "namespace_full"
    detail = _("Only {free} % of {namespace} is free. Ask for less of it, or end an experiment there.")


class RunByRamp(Conflict):
    code = "run_by_ramp"
    detail = _("A gradual launch decides who gets what here. End it first.")


class ModelOff(Conflict):
    code = "model_off"
    detail = _("The model {model}, or its provider, is switched off. Switch it on, or choose another one.")


class ConcludedAlready(Conflict):
    code = "concluded_already"
    detail = _("This experiment was concluded already: {outcome}. Set up another one to ask again.")


class SecondPersonNeeded(Conflict):
    code = "second_person_needed"
    detail = _("The numbers say otherwise ({verdict}). Ask another person to approve this conclusion.")


class AskedAlready(Conflict):
    code = "asked_already"
    detail = _("{asker} has asked for a conclusion. Another person approves or refuses it first.")


class NobodyNeeded(Conflict):
    code = "nobody_needed"
    detail = _("The numbers do not speak against this conclusion. Conclude it yourself.")


class NotAskedAnyMore(Conflict):
    code = "not_asked_any_more"
    detail = _("This was decided already: {state}.")


class OtherPersonNeeded(Forbidden):
    code = "other_person_needed"
    detail = _("{asker} has asked for this. Somebody else, who is signed in as a person, decides it.")


class RequestNotFound(NotFound):
    code = "conclusion_request_not_found"
    detail = _("Nobody has asked for a conclusion {request}.")


class NotAVersion(Conflict):
    code = "not_a_version"
    detail = _("Variant {variant} is a version with another model. Save a version with that model, and put it live.")


class ReceiptInvalid(Invalid):
    code = "receipt_invalid"
    detail = _("This receipt was not written here, or was changed on its way.")


class ReceiptExpired(Invalid):
    code = "receipt_expired"
    detail = _("This receipt is older than {days} days. Nothing is known of it any more.")


class RampNotFound(NotFound):
    code = "ramp_not_found"
    detail = _("There is no gradual launch {ramp}.")


class RampOver(Conflict):
    code = "ramp_over"
    detail = _("The gradual launch has ended ({state}): {verb} is not possible any more.")


class NotHeld(Conflict):
    code = "ramp_not_held"
    detail = _("The gradual launch runs. Only one that waits can be told to go on.")


class RampMoved(Conflict):
    code = "ramp_moved"
    detail = _("The gradual launch took a step meanwhile. Look where it is now.")


class HarmProven(Conflict):
    code = "harm_proven"
    detail = _("The numbers prove harm: everyone is being sent back. It cannot go on.")


class ReasonNeeded(Invalid):
    code = "reason_needed"
    detail = _("Say why it may go on although the numbers do not decide.")


class StagesInvalid(Invalid):
    code = "stages_invalid"


class NothingLive(Conflict):
    code = "nothing_live"
    detail = _("Nothing of {prompt} is live in {environment} to compare with. Put a version live first.")


class VersionLiveAlready(Conflict):
    code = "version_live_already"
    detail = _("Version {version} is live in {environment} already.")
