"""What people thought of an answer. A rating can be changed; it is counted once, on the variant that was shown."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.querysets import FeedbackQuerySet, MetricQuerySet, ReplayQuerySet, RoundQuerySet
from promptlab.accounts.models import Team, User
from promptlab.chat.models import Message
from prompts.models import Prompt, SuiteCase, SuiteRun

BESIDE_APPROVAL = ~Q(metric="rating") | Q(source__in=("annotator", "judge"))
"""What is said besides the thumbs of end users: few rows, each with an index."""


class Metric(models.Model):
    """Something that a team lets be said of answers, besides thumbs up and down. Scores lie between `low` and `high`."""

    class Kind(models.TextChoices):
        THUMBS = "thumbs", _("Thumbs up or down")
        SCORE = "score", _("A number in a range")
        BOOLEAN = "boolean", _("Yes or no")
        CATEGORY = "category", _("One of a list")
        TEXT = "text", _("Words")
        CORRECTION = "correction", _("The ideal answer")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    key = models.CharField(_("short name"), max_length=50)
    title = models.CharField(_("title"), max_length=100)
    kind = models.CharField(_("what is said"), max_length=10, choices=Kind.choices)
    low = models.FloatField(_("lowest"), null=True)
    high = models.FloatField(_("highest"), null=True)
    is_higher_better = models.BooleanField(_("more is better"), default=True)
    categories = models.JSONField(_("list"), default=list)
    archived_at = models.DateTimeField(_("put away"), null=True)

    objects = MetricQuerySet.as_manager()

    class Meta:
        verbose_name = _("metric")
        verbose_name_plural = _("metrics")
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="metric_once_per_team")]

    def __str__(self) -> str:
        return self.title


class Feedback(models.Model):
    """One rating per (message, rater, metric); all of what was said is null or empty once it was taken back.

    `value` is what counts in the sums and in approval: the thumb, 1 or -1, of an end user or an application. All else is
    in `score` (numbers, 1 and 0 for yes and no, thumbs of annotators and judges) or in `text` (a category, words, an
    ideal answer). `counted_value` is what the rollups hold of this row (null: nothing), so a changed mind adds the
    difference. PostgreSQL keeps ratings by months, so that no table can have a foreign key to them: new ones say
    `db_constraint=False`, and `services.months` empties them along with a month.
    """

    class Source(models.TextChoices):
        END_USER = "end_user", _("End user")
        API = "api", _("Application")
        ANNOTATOR = "annotator", _("Annotator")
        JUDGE = "judge", _("Judge")

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    message = models.ForeignKey(Message, models.CASCADE, related_name="+", verbose_name=_("answer"))
    metric = models.CharField(_("metric"), max_length=50, default="rating")
    rater = models.CharField(_("rater"), max_length=200, blank=True)
    value = models.SmallIntegerField(_("rating"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    score = models.FloatField(_("score"), null=True)
    text = models.TextField(_("words"), blank=True, default="", db_default="")
    source = models.CharField(
        _("source"), max_length=10, choices=Source.choices, default=Source.END_USER, db_default=Source.END_USER
    )
    counted_value = models.SmallIntegerField(null=True, editable=False)
    rolled_up_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("given"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["message", "rater", "metric"], name="one_rating_per_rater"),
            models.CheckConstraint(condition=Q(value__in=(1, -1)), name="rating_is_up_or_down"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(rolled_up_at=None), name="feedback_not_rolled_up"),
            models.Index(fields=["team", "metric"], condition=~Q(metric="rating"), name="feedback_of_metric"),
            models.Index(fields=["team", "value", "-id"], condition=~Q(comment=""), name="feedback_inbox"),
            models.Index(fields=["team"], condition=Q(source__in=("annotator", "judge")), name="feedback_of_experts"),
        ]

    def __str__(self) -> str:
        said = {1: "👍", -1: "👎"}.get(self.value or 0) or self.said
        return f"{'∅' if said is None else said} {self.comment[:60]}".strip()

    @property
    def said(self) -> float | str | None:
        """What was said in the metric; None once it was taken back. An ideal answer sent with a thumb is not it."""
        if self.value is not None:
            return self.value
        return self.text or None if self.score is None else self.score


class FeedbackChange(models.Model):
    """What a rating said before it was changed or taken back. The database itself writes these rows, on every change."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="changes")
    value = models.SmallIntegerField(_("rating"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    score = models.FloatField(_("score"), null=True)
    text = models.TextField(_("words"), blank=True, default="", db_default="")
    said_at = models.DateTimeField(_("said"))

    class Meta:
        verbose_name = _("changed rating")
        verbose_name_plural = _("changed ratings")
        ordering = ["id"]

    def __str__(self) -> str:
        return str(self.value)


class FeedbackReceipt(models.Model):
    """What an idempotency key stood for, so that sending it again changes nothing, for ever."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="idempotency_key_once_per_team")]

    def __str__(self) -> str:
        return self.key


class DeadLetter(models.Model):
    """A rating that cannot be added to the sums. It is stored and shown; it waits here until somebody has it tried again."""

    feedback = models.OneToOneField(Feedback, models.CASCADE, primary_key=True, related_name="dead_letter")
    reason = models.CharField(_("what went wrong"), max_length=100)
    tries = models.PositiveIntegerField(_("tries"), default=1)
    at = models.DateTimeField(_("last tried"), auto_now=True)

    class Meta:
        verbose_name = _("rating set aside")
        verbose_name_plural = _("ratings set aside")
        ordering = ["feedback_id"]

    def __str__(self) -> str:
        return self.reason


class Comment(Feedback):
    """A rating with words, as the inbox shows it."""

    class Meta:
        proxy = True
        verbose_name = _("comment")
        verbose_name_plural = _("comments")


class Care(models.Model):
    """Who looks after a comment, and whether that is done. No row: nobody yet."""

    feedback = models.OneToOneField(Feedback, models.CASCADE, primary_key=True, related_name="care")
    assignee = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who"))
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta:
        verbose_name = _("comment in the inbox")
        verbose_name_plural = _("comments in the inbox")

    def __str__(self) -> str:
        # Never the comment's words: this is written into the activity log.
        version = self.feedback.message.version
        return f"#{self.feedback_id} ({version.prompt})" if version else f"#{self.feedback_id}"


class Label(models.Model):
    """A word that a team sorts comments by."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="labels")
    name = models.CharField(_("label"), max_length=40)

    class Meta:
        verbose_name = _("label")
        verbose_name_plural = _("labels")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["feedback", "name"], name="label_once")]

    def __str__(self) -> str:
        return self.name


class Note(models.Model):
    """What colleagues say to each other about a comment."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="notes")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    author_label = models.CharField(_("who"), max_length=200)
    text = models.TextField(_("note"))
    at = models.DateTimeField(_("written"), auto_now_add=True)

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.author_label


class SavedCase(models.Model):
    """A case of a test suite that was made of a rated answer."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="cases")
    case = models.OneToOneField(SuiteCase, models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("saved case")
        verbose_name_plural = _("saved cases")

    def __str__(self) -> str:
        return str(self.case)


class Privacy(models.Model):
    """What of texts a team keeps. No row: all of it, as it was written.

    `masked` are kinds of values that are replaced; without `keeps_text` nothing is kept but numbers. `messages_to` and
    `ratings_to` are the ids up to which messages were looked through, and words of ratings removed for their age.
    """

    team = models.OneToOneField(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    masked = models.CharField(_("replaced in what is kept"), max_length=40, blank=True)
    keeps_text = models.BooleanField(_("texts are kept"), default=True)
    messages_to = models.PositiveBigIntegerField(default=0, editable=False)
    ratings_to = models.PositiveBigIntegerField(default=0, editable=False)

    objects = MetricQuerySet.as_manager()

    class Meta:
        verbose_name = _("what is kept")
        verbose_name_plural = _("what is kept")

    def __str__(self) -> str:
        return str(self.team)


class AnnotationRound(models.Model):
    """A sample of a prompt's answers that colleagues rate, each by themselves, in one metric."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="+", verbose_name=_("prompt"))
    title = models.CharField(_("title"), max_length=100)
    metric = models.CharField(_("metric"), max_length=50, default="rating")
    created_at = models.DateTimeField(_("begun"), auto_now_add=True)
    closed_at = models.DateTimeField(_("ended"), null=True)

    objects = RoundQuerySet.as_manager()

    class Meta:
        verbose_name = _("round of annotation")
        verbose_name_plural = _("rounds of annotation")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.title


class AnnotationItem(models.Model):
    """An answer of a round. What is thought of it are ratings whose source is an annotator."""

    round = models.ForeignKey(AnnotationRound, models.CASCADE, related_name="items")
    message = models.ForeignKey(Message, models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("answer to rate")
        verbose_name_plural = _("answers to rate")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["round", "message"], name="answer_once_per_round")]

    def __str__(self) -> str:
        return str(self.pk)


class Judge(models.Model):
    """A model that judges a share of a prompt's answers through another prompt, for so much money a day.

    `done_to` is the id of the last answer it looked at. `spent_nanousd` is of `day`, in UTC; what is asked at this moment
    counts as the most it can cost. `note` says why it does nothing.
    """

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    prompt = models.OneToOneField(Prompt, models.CASCADE, related_name="+", verbose_name=_("prompt"))
    by = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt that judges"))
    rubric = models.TextField(_("what is good"), blank=True)
    share_bp = models.PositiveIntegerField(_("share of answers"))
    least = models.FloatField(_("good from"), default=0.5)
    day_nanousd = models.BigIntegerField(_("budget of a day"))
    is_on = models.BooleanField(_("on"), default=True)
    done_to = models.PositiveBigIntegerField(default=0, editable=False)
    day = models.DateField(null=True, editable=False)
    spent_nanousd = models.BigIntegerField(default=0, editable=False)
    note = models.CharField(max_length=200, blank=True, editable=False)

    objects = RoundQuerySet.as_manager()

    class Meta:
        verbose_name = _("judge")
        verbose_name_plural = _("judges")
        ordering = ["prompt__title"]
        constraints = [models.CheckConstraint(condition=Q(share_bp__gte=1, share_bp__lte=10_000), name="judge_share")]

    def __str__(self) -> str:
        return str(self.prompt)


class Replay(models.Model):
    """Rated answers of a prompt, asked again of one version and compared with what was said then. How far it is says its run.

    `unfit`: rated answers that were left out, because this version cannot be asked what was asked then.
    """

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="+", verbose_name=_("prompt"))
    run = models.OneToOneField(SuiteRun, models.PROTECT, related_name="+", verbose_name=_("run"))
    unfit = models.PositiveIntegerField(_("left out"), default=0)
    created_at = models.DateTimeField(_("asked for"), auto_now_add=True)

    objects = ReplayQuerySet.as_manager()

    class Meta:
        verbose_name = _("replay")
        verbose_name_plural = _("replays")
        ordering = ["-id"]

    def __str__(self) -> str:
        return gettext("%(prompt)s, replayed") % {"prompt": self.prompt}


class ReplayItem(models.Model):
    """A rating in a replay; `place` is that of its case in the run's plan. Once `is_forgotten` its texts are gone there, too."""

    replay = models.ForeignKey(Replay, models.CASCADE, related_name="items")
    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="+")
    place = models.PositiveIntegerField()
    is_up = models.BooleanField(_("thumbs-up"))
    is_forgotten = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("replayed rating")
        verbose_name_plural = _("replayed ratings")
        ordering = ["place"]
        constraints = [models.UniqueConstraint(fields=["replay", "place"], name="replay_place_once")]

    def __str__(self) -> str:
        return str(self.place)
