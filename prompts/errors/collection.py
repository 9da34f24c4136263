"""What is refused about collections, tags and fields."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Forbidden, Invalid, NotFound


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
