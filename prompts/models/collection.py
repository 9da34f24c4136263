"""How prompts are grouped: collections (a prompt is in one at most) and tags (any number)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team, User
from prompts.querysets import CollectionQuerySet, TagQuerySet


class Collection(models.Model):
    """Prompts of one product or purpose, together; in a tree.

    `visibility` is never wider than the parent's. Private is for the owner and the team's administrators; "everyone" is
    the library, which people of all teams may read and copy from.
    """

    class Visibility(models.TextChoices):
        PRIVATE = "private", _("Only me")
        TEAM = "team", _("My team")
        EVERYONE = "everyone", _("Everyone: the library")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=200)
    description = models.TextField(_("what it is for"), blank=True)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children", verbose_name=_("inside of")
    )
    visibility = models.CharField(_("who sees it"), max_length=10, choices=Visibility.choices, default=Visibility.TEAM)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("owner"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True, editable=False)

    objects = CollectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("collection")
        verbose_name_plural = _("collections")
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(parent=models.F("id")), name="collection_not_in_itself")
        ]
        indexes = [models.Index(fields=["visibility"], name="collection_visibility")]

    def __str__(self) -> str:
        return self.name

    def is_seen_by(self, principal: Principal) -> bool:
        """Tell of one collection what `visible_to` and `in_library` tell of rows."""
        if principal.is_system or self.visibility == self.Visibility.EVERYONE:
            return True
        if not principal.may("prompt.read", self.team_id):
            return False
        is_own = self.owner_id is not None and self.owner_id == principal.user_id
        return self.visibility != self.Visibility.PRIVATE or is_own or principal.may("team.admin", self.team_id)

    def way(self) -> list[Collection]:
        """Return the collections it is inside of, from the root, and itself; free of queries after `with_path`."""
        above = self.parent.way() if self.parent is not None else []
        return [*above, self]


class Tag(models.Model):
    """A word to find prompts by. Big and small letters are the same."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=50)

    objects = TagQuerySet.as_manager()

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        ordering = ["name"]
        constraints = [models.UniqueConstraint("team", Lower("name"), name="tag_once_per_team")]

    def __str__(self) -> str:
        return self.name
