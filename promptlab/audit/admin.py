"""How the activity log reads to people: one sentence per entry, and what it changed. Its pages: accounts.admin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.audit.models import AuditEntry
from promptlab.lib.formats import fmt_name

MOST_LINES = 200

SENTENCES: dict[str, Any] = {
    "prompt.created": _("wrote the prompt %(what)s"),
    "prompt.changed": _("changed the settings of %(what)s"),
    "prompt.archived": _("archived %(what)s"),
    "prompt.restored": _("brought %(what)s back"),
    "prompt.renamed": _("changed the short name of %(what)s"),
    "draft.kept": _("kept a draft of %(what)s"),
    "draft.discarded": _("threw away %(what)s"),
    "draft.saved": _("saved %(what)s as a version"),
    "version.created": _("saved %(what)s"),
    "collection.created": _("made the collection %(what)s"),
    "collection.changed": _("changed the collection %(what)s"),
    "collection.archived": _("archived the collection %(what)s"),
    "environment.created": _("made the environment %(what)s"),
    "deployment.deploy": _("put %(what)s v%(version)s live in %(environment)s"),
    "deployment.rollback": _("went back to %(what)s v%(version)s in %(environment)s"),
    "environment.renamed": _("called the environment %(what)s"),
    "environment.changed": _("changed the rules of the environment %(what)s"),
    "environment.frozen": _("froze the environment %(what)s"),
    "environment.thawed": _("ended a freeze of the environment %(what)s"),
    "version.submitted": _("asked for a review of %(what)s"),
    "version.approved": _("approved %(what)s"),
    "version.changes_requested": _("asked for changes to %(what)s"),
    "version.withdrawn": _("took back the review of %(what)s"),
    "comment.written": _("commented on %(what)s"),
    "comment.edited": _("changed a comment on %(what)s"),
    "comment.resolved": _("settled a comment on %(what)s"),
    "comment.reopened": _("opened a comment on %(what)s again"),
    "deployment.break_glass": _("put %(what)s v%(version)s live in %(environment)s past the rules"),
    "deployment.scheduled": _("planned %(what)s v%(version)s for %(environment)s"),
    "deployment.cancelled": _("cancelled the plan for %(what)s v%(version)s in %(environment)s"),
    "deployment.refused": _("could not put %(what)s v%(version)s live in %(environment)s as planned"),
    "deployment.undeploy": _("stopped serving %(what)s in %(environment)s"),
    "experiment.created": _("set up the experiment %(what)s"),
    "experiment.edited": _("changed the setup of the experiment %(what)s"),
    "experiment.start": _("started the experiment %(what)s"),
    "experiment.pause": _("paused the experiment %(what)s"),
    "experiment.resume": _("went on with the experiment %(what)s"),
    "experiment.stop": _("ended the experiment %(what)s"),
    "experiment.concluded": _("concluded the experiment %(what)s"),
    "experiment.conclusion_asked": _("asked another person to approve a conclusion of %(what)s"),
    "experiment.conclusion_approved": _("approved the conclusion of %(what)s"),
    "experiment.conclusion_refused": _("refused to conclude %(what)s like this"),
    "experiment.conclusion_withdrawn": _("asked no more for a conclusion of %(what)s"),
    "namespace.created": _("made the namespace %(what)s"),
    "experiment.coverage": _("let other users take part in %(what)s"),
    "experiment.shares": _("changed the shares of %(what)s"),
    "experiment.dealt_anew": _("dealt the users of %(what)s anew"),
    "experiment.overrides": _("changed who tries out %(what)s"),
    "experiment.shared": _("shared the results of %(what)s by a link"),
    "experiment.unshared": _("ended a link to the results of %(what)s"),
    "experiment.kill": _("stopped the experiment %(what)s at once"),
    "ramp.started": _("started the gradual launch %(what)s"),
    "ramp.advanced": _("gave the next step of %(what)s to more users"),
    "ramp.held": _("held the gradual launch %(what)s"),
    "ramp.resumed": _("let the gradual launch %(what)s go on"),
    "days.repaired": _("repaired the daily sums"),
    "rollups.repaired": _("repaired the sums of %(what)s"),
    "ramp.rolled_back": _("sent everyone back from %(what)s"),
    "ramp.completed": _("finished the gradual launch %(what)s"),
    "ramp.aborted": _("broke off the gradual launch %(what)s"),
    "account.changed": _("changed the account of %(what)s"),
    "account.signed_out": _("ended every session of %(what)s"),
    "budget.set": _("set a budget: %(what)s"),
    "budget.removed": _("removed a budget: %(what)s"),
    "collection.restored": _("brought back the collection %(what)s"),
    "favourite.added": _("keeps %(what)s at hand"),
    "favourite.removed": _("keeps %(what)s at hand no longer"),
    "field.created": _("added the field %(what)s"),
    "field.changed": _("changed the field %(what)s"),
    "field.deleted": _("removed the field %(what)s"),
    "masking.changed": _("changed what is replaced before calls: %(what)s"),
    "annotation.started": _("drew answers to rate: %(what)s"),
    "annotation.ended": _("ended the round %(what)s"),
    "inbox.assigned": _("gave the comment %(what)s to %(who)s"),
    "inbox.labelled": _("labelled the comment %(what)s"),
    "inbox.settled": _("settled the comment %(what)s"),
    "inbox.reopened": _("opened the comment %(what)s again"),
    "inbox.noted": _("wrote a note on the comment %(what)s"),
    "judge.asked": _("had the judge of %(what)s look at what waits"),
    "judge.set": _("had the answers of %(what)s judged"),
    "metric.declared": _("let people say %(what)s of answers"),
    "metric.changed": _("changed what may be said of answers: %(what)s"),
    "language.chosen": _("chose another language: %(what)s"),
    "notifications.changed": _("chose other mails: %(what)s"),
    "privacy.changed": _("changed what %(what)s keeps of texts"),
    "prompt.imported": _("imported %(what)s"),
    "import.undone": _("took back %(what)s"),
    "rating.given": _("gave stars to %(what)s"),
    "rating.taken_back": _("took back the stars of %(what)s"),
    "secret.allowed": _("let through what looks like a key in %(what)s"),
    "tag.renamed": _("renamed the tag %(what)s"),
    "tag.merged": _("merged the tag %(what)s into another"),
    "tag.deleted": _("deleted the tag %(what)s"),
    "unit.erased": _("erased an end user of %(what)s"),
    "team.created": _("made the team %(what)s"),
    "team.renamed": _("called the team %(what)s"),
    "member.added": _("gave %(what)s the role %(role)s"),
    "member.removed": _("took the role %(role)s from %(what)s"),
    "person.created": _("added %(what)s"),
    "person.changed": _("changed the account of %(what)s"),
    "person.password": _("set a new password for %(what)s"),
    "person.password_reset": _("set a new password for %(what)s"),
    "key.issued": _("made the API key %(what)s"),
    "key.rotated": _("replaced the API key %(what)s"),
    "key.revoked": _("revoked the API key %(what)s"),
    "conversation.renamed": _("named the conversation %(what)s"),
    "conversation.archived": _("put away the conversation %(what)s"),
    "conversation.unarchived": _("brought back the conversation %(what)s"),
    "conversation.purged": _("removed old texts of conversations of %(what)s"),
    "retention.changed": _("changed how long %(what)s keeps conversations"),
    "webhook.created": _("made the webhook to %(what)s"),
    "webhook.changed": _("changed the webhook to %(what)s"),
    "webhook.rotated": _("replaced the secret of the webhook to %(what)s"),
    "webhook.removed": _("removed the webhook to %(what)s"),
    "webhook.tested": _("tried out the webhook to %(what)s"),
    "webhook.replayed": _("sent something again to %(what)s"),
    "webhook.disabled": _("switched off the webhook to %(what)s"),
    "provider.created": _("set up the provider %(what)s"),
    "provider.changed": _("changed the provider %(what)s"),
    "provider.removed": _("removed the provider %(what)s"),
    "provider.checked": _("checked the connection to %(what)s"),
    "model.created": _("set up the model %(what)s"),
    "model.changed": _("changed the model %(what)s"),
    "model.removed": _("removed the model %(what)s"),
    "price.set": _("wrote down a price: %(what)s"),
    "price.removed": _("removed a price: %(what)s"),
    "suite.created": _("made the test suite %(what)s"),
    "suite.changed": _("changed the test suite %(what)s"),
    "suite.archived": _("archived the test suite %(what)s"),
    "suite.case_added": _("added the case %(case)s to %(what)s"),
    "suite.case_changed": _("changed the case %(case)s of %(what)s"),
    "suite.case_removed": _("removed the case %(case)s from %(what)s"),
    "suite.cases_imported": _("added %(cases)s cases to %(what)s"),
    "suite.run_requested": _("had the test suite %(what)s run"),
    "suite.run_cancelled": _("cancelled the run of %(what)s"),
    "suite.run_resumed": _("went on with the run of %(what)s"),
    "optimiser.requested": _("asked for a better text: %(what)s"),
    "optimiser.cancelled": _("cancelled the work on a better text: %(what)s"),
    "optimiser.resumed": _("went on with the work on a better text: %(what)s"),
    "suggestion.accepted": _("saved a suggested text as v%(version)s: %(what)s"),
    "suggestion.discarded": _("discarded a suggested text: %(what)s"),
    "replay.requested": _("replayed rated answers: %(what)s"),
    "replay.cases_saved": _("made %(cases)s cases of what differs: %(what)s"),
    "messages.repriced": _("re-priced answers of %(what)s"),
    "repricing.asked": _("asked to have answers re-priced: %(what)s"),
}

KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "live": (_("What is live"), ("deployment.",)),
    "texts": (
        _("Prompts and versions"),
        ("prompt.", "version.", "draft.", "comment.", "collection.", "tag.", "rating.", "favourite.", "secret."),
    ),
    "suites": (_("Test suites"), ("suite.", "replay.")),
    "suggestions": (_("Suggested texts"), ("optimiser.", "suggestion.")),
    "comments": (_("Comments of users"), ("inbox.", "annotation.", "judge.")),
    "experiments": (_("Experiments"), ("experiment.", "ramp.")),
    "people": (_("People and teams"), ("member.", "person.", "team.")),
    "keys": (_("API keys"), ("key.",)),
    "settings": (
        _("Settings"),
        (
            "environment.",
            "webhook.",
            "retention.",
            "conversation.",
            "provider.",
            "model.",
            "price.",
            "messages.",
            "metric.",
            "privacy.",
        ),
    ),
}
"""Kind -> (what people call it, how its verbs begin)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, ready to be shown."""

    when: datetime
    who: str
    sentence: str
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """One field that an act changed, as people read it."""

    field: str
    before: str
    after: str


def sentence(entry: AuditEntry) -> str:
    """Return what was done, without who did it: `put Support reply v6 live in Production`."""
    known = SENTENCES.get(entry.verb)
    if known is None:
        return gettext("did %(verb)s on %(what)s") % {"verb": entry.verb, "what": entry.target_label}
    said = {**entry.before, **entry.after}
    named = {"what": entry.target_label, "environment": fmt_name(str(said.get("environment", "")))}
    return str(known) % _Words({**said, **named})


class _Words(dict[str, Any]):
    """What an entry says. One that was written before its sentence had more words still reads as one."""

    def __missing__(self, word: str) -> str:
        return "–"


def line(entry: AuditEntry) -> Line:
    """Return the entry as a line of a history."""
    return Line(entry.at, entry.actor_label, sentence(entry), entry.note)


def lines_about(target_type: str, target_id: object) -> list[Line]:
    """Return the history of one thing, newest first."""
    return [line(entry) for entry in AuditEntry.objects.about(target_type, target_id)[:MOST_LINES]]


def changes(entry: AuditEntry) -> list[Change]:
    """Return the fields that an entry names, with what they were and what they became."""
    fields = dict.fromkeys([*entry.before, *entry.after])
    return [
        Change(field.replace("_", " ").capitalize(), _shown(entry.before.get(field)), _shown(entry.after.get(field)))
        for field in fields
    ]


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
