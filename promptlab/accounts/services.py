"""Changing teams, people, memberships and keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts import auth
from promptlab.accounts.access import SYSTEM, Principal, check_scopes, require, require_environment
from promptlab.accounts.errors import KeyRevoked, LastAdministrator, TeamNameTaken
from promptlab.accounts.models import ApiKey, Membership, Team, User
from promptlab.audit.recorder import record
from promptlab.lib.errors import Forbidden, Invalid

OVERLAP = timedelta(hours=24)
"""How long a replaced key keeps working."""
ENVIRONMENT = re.compile(r"[^\s]{1,36}\Z")
MAX_ENVIRONMENTS = 10
"""What a key can be limited to; all of them together fit into its column."""
ACCOUNT_FIELDS = ("first_name", "last_name", "username", "email", "is_active")
Roles = Mapping[Team, set[str]]
"""The roles somebody is to have, by team. Teams that are left out stay as they are."""


def create_team(actor: Principal, name: str, administrator: User | None = None) -> Team:
    """Make a team, with its first administrator: nobody in a new team could give that role.

    Only the system and people who administer some team may. Raises TeamNameTaken.
    """
    if not actor.may_anywhere("team.admin"):
        raise Forbidden(gettext_noop("Only administrators make teams."))
    try:
        with transaction.atomic():
            team = Team.objects.create(name=_team_name(name))
            record(actor, "team.created", team, team_id=team.pk, after={"name": team.name})
            if administrator is not None:
                add_member(SYSTEM, team, administrator, Membership.Role.ADMINISTRATOR)
    except IntegrityError as error:
        raise TeamNameTaken(name=name) from error
    return team


def rename_team(actor: Principal, team: Team, name: str) -> Team:
    """Give a team another name; the same again changes nothing. Raises TeamNameTaken, Invalid."""
    require(actor, "team.admin", team.pk)
    wanted = _team_name(name)
    try:
        with transaction.atomic():
            locked: Team = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
            if locked.name != wanted:
                before = {"name": locked.name}
                locked.name = wanted
                locked.save(update_fields=["name"])
                record(actor, "team.renamed", locked, team_id=locked.pk, before=before, after={"name": wanted})
    except IntegrityError as error:
        raise TeamNameTaken(name=wanted) from error
    return locked


def _team_name(name: str) -> str:
    if not name.strip():
        raise Invalid.field("name", "Give the team a name.", code="required")
    return name.strip()


def may_manage(person: User, *, by: Principal) -> bool:
    """Tell whether `by` may change the account: they administer every team of this person.

    Otherwise an administrator of one team could set a password and act in another one. Superusers manage superusers.
    """
    superusers = User.objects.filter(is_superuser=True)
    if person.is_superuser and not by.is_system and not superusers.filter(pk=by.user_id or 0).exists():
        return False
    teams = Membership.objects.filter(user=person).values_list("team_id", flat=True)
    return all(by.may("team.admin", team_id) for team_id in teams)


def save_person(actor: Principal, person: User, roles: Roles) -> User:
    """Write a person and their roles in these teams, at once. Without a row yet it is a new one, without a password.

    Raises Forbidden for the account of somebody who is in other teams, too, Invalid, LastAdministrator.
    """
    for team in roles:
        require(actor, "team.admin", team.pk)
    is_new = person.pk is None
    before = {} if is_new else User.objects.filter(pk=person.pk).values(*ACCOUNT_FIELDS).get()
    after = {name: getattr(person, name) for name in ACCOUNT_FIELDS}
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    if changed and not is_new:
        _require_account(actor, person)
    if not is_new and person.pk == actor.user_id and not person.is_active:
        raise Invalid.field("is_active", gettext_noop("You cannot switch off your own account."))
    with transaction.atomic():
        if is_new:
            person.set_unusable_password()
            person.save()
        elif changed:
            person.save(update_fields=list(changed))
        if changed:
            was = {name: before[name] for name in changed if name in before}
            verb = "person.created" if is_new else "person.changed"
            record(actor, verb, person, team_id=_a_team(roles), before=was, after=changed)
        for team, wanted in roles.items():
            _set_roles(actor, team, person, wanted)
        if not person.is_superuser and not Membership.objects.filter(user=person).exists():
            detail = "Without a role they can see nothing. Tick one, or switch the account off instead."
            raise Invalid(detail, code="no_role")
    return person


def change_password(actor: Principal, person: User, password: str) -> User:
    """Give somebody a password that was checked already; their other sessions end. Raises Forbidden."""
    if not actor.may_anywhere("team.admin"):
        raise Forbidden(gettext_noop("Only administrators give passwords."))
    _require_account(actor, person)
    teams = Membership.objects.filter(user=person).values_list("team_id", flat=True)
    with transaction.atomic():
        person.set_password(password)
        person.save(update_fields=["password"])
        record(actor, "person.password", person, team_id=teams.order_by("team_id").first())
    return person


def choose_language(actor: Principal, language: str) -> None:
    """Keep the language in which somebody is written to. Raises Forbidden for keys, Invalid for one we do not speak."""
    if actor.user_id is None:
        raise Forbidden("Only people choose a language.")
    if language not in dict(settings.LANGUAGES):
        raise Invalid.field("language", "Choose one of the languages that are offered.")
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=actor.user_id)
        was = person.language
        if was == language:
            return
        person.language = language
        person.save(update_fields=["language"])
        team_id = min(actor.grants, default=None)
        record(
            actor, "language.chosen", person, team_id=team_id, before={"language": was}, after={"language": language}
        )


def change_own_account(actor: Principal, *, first_name: str, last_name: str, has_single_keys: bool) -> User:
    """Change what people say of themselves; the same again changes nothing. Raises Forbidden for keys, Invalid."""
    if not first_name.strip():
        raise Invalid.field("first_name", gettext_noop("Write your first name."), code="required")
    wanted = {"first_name": first_name.strip(), "last_name": last_name.strip(), "has_single_keys": has_single_keys}
    with transaction.atomic():
        person = _own(actor)
        before = {name: getattr(person, name) for name in wanted}
        changed = [name for name, value in wanted.items() if before[name] != value]
        if changed:
            for name in changed:
                setattr(person, name, wanted[name])
            person.save(update_fields=changed)
            was, now = ({name: values[name] for name in changed} for values in (before, wanted))
            record(actor, "account.changed", person, team_id=min(actor.grants, default=None), before=was, after=now)
    return person


def sign_out_everywhere(actor: Principal) -> User:
    """End every session of the person, on all devices. Who calls this from one lets that one go on. Raises Forbidden."""
    with transaction.atomic():
        person = _own(actor)
        person.sign_outs += 1
        person.save(update_fields=["sign_outs"])
        record(actor, "account.signed_out", person, team_id=min(actor.grants, default=None))
    return person


def _own(actor: Principal) -> User:
    """Return the person's own row, to be changed. Raises Forbidden for keys."""
    if actor.user_id is None:
        raise Forbidden(gettext_noop("Only people have an account."))
    person: User = User.objects.select_for_update(no_key=True).get(pk=actor.user_id)
    return person


def _require_account(actor: Principal, person: User) -> None:
    if not may_manage(person, by=actor):
        raise Forbidden("This person is in teams you do not manage. Ask an administrator of all of them.")


def _set_roles(actor: Principal, team: Team, person: User, wanted: set[str]) -> None:
    """Give what is missing before taking what is too much: nobody is without a role in between."""
    held = {membership.role: membership for membership in Membership.objects.filter(team=team, user=person)}
    for role in sorted(wanted - held.keys()):
        add_member(actor, team, person, role)
    for role in sorted(held.keys() - wanted):
        remove_role(actor, held[role])


def _a_team(roles: Roles) -> int | None:
    """Return whose activity log tells of a person: the first team they are given a role in."""
    return next((team.pk for team, wanted in roles.items() if wanted), next((team.pk for team in roles), None))


def add_member(actor: Principal, team: Team, user: User, role: str) -> Membership:
    """Give a person a role in a team; giving it again changes nothing."""
    require(actor, "team.admin", team.pk)
    with transaction.atomic():
        membership, is_new = Membership.objects.get_or_create(team=team, user=user, role=role)
        if is_new:
            record(actor, "member.added", user, team_id=team.pk, after={"role": role})
    return membership


def remove_role(actor: Principal, membership: Membership) -> None:
    """Take a role from a person. Raises LastAdministrator when nobody else could manage the team."""
    require(actor, "team.admin", membership.team_id)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=membership.team_id)
        administrators = Membership.objects.filter(team=membership.team, role=Membership.Role.ADMINISTRATOR)
        is_last = not administrators.exclude(pk=membership.pk).exists()
        if membership.role == Membership.Role.ADMINISTRATOR and is_last:
            raise LastAdministrator(person=str(membership.user), team=str(membership.team))
        before = {"role": membership.role}
        record(actor, "member.removed", membership.user, team_id=membership.team_id, before=before)
        membership.delete()


def issue_key(
    actor: Principal,
    team: Team,
    *,
    name: str,
    scopes: Iterable[str],
    environments: Iterable[str] = (),
    expires_at: datetime | None = None,
    calls_per_hour: int | None = None,
    default_environment: str = "",
    rotated_from: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which nobody can read again.

    Nobody hands out more than they have: a key that is limited to environments makes keys for those only.
    Raises UnknownScope, Invalid, Forbidden.
    """
    require(actor, "key.admin", team.pk)
    allowed = check_scopes(scopes)
    named = _limited_to(actor, environments)
    prefix, key_digest, secret = auth.new_secret()
    with transaction.atomic():
        key = ApiKey.objects.create(
            team=team,
            name=name,
            prefix=prefix,
            digest=key_digest,
            scopes=" ".join(allowed),
            environments=" ".join(named),
            default_environment=default_environment or (named[0] if len(named) == 1 else "production"),
            calls_per_hour=calls_per_hour,
            created_by_id=actor.user_id,
            expires_at=expires_at,
            rotated_from=rotated_from,
        )
        record(actor, "key.issued", key, team_id=team.pk, after={"scopes": allowed, "environments": named})
    return key, secret


def _limited_to(actor: Principal, environments: Iterable[str]) -> list[str]:
    """Return the environments of a new key, once each. Raises Invalid, Forbidden."""
    named = list(dict.fromkeys(environments))
    if len(named) > MAX_ENVIRONMENTS or not all(ENVIRONMENT.match(name) for name in named):
        detail = f"At most {MAX_ENVIRONMENTS} names of environments, of 1 to 36 characters without blanks."
        raise Invalid.field("environments", detail)
    for name in named or [""]:
        require_environment(actor, name)
    return named


def rotate_key(actor: Principal, key: ApiKey, *, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """Replace a key: a new one with the same rights and the same end, the old one ends after `overlap`.

    Raises KeyRevoked.
    """
    require(actor, "key.admin", key.team_id)
    with transaction.atomic():
        old = ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
        if not old.is_usable:
            raise KeyRevoked(key=str(old))
        ends, expires_at = timezone.now() + overlap, old.expires_at
        old.expires_at = min(old.expires_at, ends) if old.expires_at else ends
        old.save(update_fields=["expires_at"])
        record(actor, "key.rotated", old, team_id=old.team_id, after={"ends_at": old.expires_at.isoformat()})
        return issue_key(
            actor,
            old.team,
            name=old.name,
            scopes=old.scope_list,
            environments=old.environments.split(),
            expires_at=expires_at,
            calls_per_hour=old.calls_per_hour,
            default_environment=old.default_environment,
            rotated_from=old,
        )


def revoke_key(actor: Principal, key: ApiKey, *, note: str = "") -> ApiKey:
    """End a key; every process refuses it within a second. Revoking again changes nothing."""
    require(actor, "key.admin", key.team_id)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            record(actor, "key.revoked", key, team_id=key.team_id, note=note)
            auth.tell_revoked(key)
    return key
