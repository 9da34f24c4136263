"""Test suites: making them, and changing their cases and checks. Each change of what bears on verdicts is a new revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.checks.cases import Case, Check, checksum_of
from prompts.errors import CaseTaken, NameTaken, SuiteRequired, TooManyCases, TooManySuites
from prompts.models import Prompt, Suite, SuiteCase, SuiteCheck, SuiteRequirement
from prompts.porting.cases import MAX_CASES, read_cases
from prompts.services import shapes

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")
MAX_SUITES: Final = 500


@dataclass(frozen=True, slots=True)
class SuiteChanges:
    """What to change of a suite; None leaves it as it is. `checks` are those of every case, all of them."""

    name: str | None = None
    description: str | None = None
    checks: Sequence[Check] | None = None


def create_suite(
    actor: Principal,
    team_id: int,
    *,
    name: str,
    prompt: Prompt | None = None,
    description: str = "",
    checks: Sequence[Check] = (),
) -> Suite:
    """Make a suite without cases, of one prompt or of all prompts of the team. Raises NameTaken, Invalid, TooManySuites."""
    require(actor, "prompt.write", team_id)
    if prompt is not None and prompt.team_id != team_id:
        raise Invalid.field("prompt", "This prompt is another team's.")
    _check_name(name)
    _check_schemas(checks, "checks")
    if Suite.objects.active().filter(team_id=team_id).count() >= MAX_SUITES:
        raise TooManySuites(most=MAX_SUITES)
    try:
        with transaction.atomic():
            suite = Suite.objects.create(team_id=team_id, prompt=prompt, name=name, description=description[:500])
            _put_checks(suite, None, checks)
            suite.checksum = checksum_of([])
            suite.save(update_fields=["checksum"])
            _record(actor, "suite.created", suite, after={"name": name, "prompt": prompt.name if prompt else None})
    except IntegrityError as error:
        raise NameTaken(name=name) from error
    return suite


def update_suite(actor: Principal, suite: Suite, changes: SuiteChanges) -> Suite:
    """Change a suite. The same again changes nothing. Raises NameTaken, Invalid."""
    require(actor, "prompt.write", suite.team_id)
    wanted = {name: value for name, value in asdict(changes).items() if value is not None and name != "checks"}
    if changes.name is not None:
        _check_name(changes.name)
    _check_schemas(changes.checks or (), "checks")
    try:
        with transaction.atomic():
            locked = _locked(suite)
            before = {name: getattr(locked, name) for name in wanted if getattr(locked, name) != wanted[name]}
            for name in before:
                setattr(locked, name, wanted[name])
            locked.save(update_fields=[*before, "updated_at"])
            changed = changes.checks is not None and _change_checks(locked, None, changes.checks)
            if before or changed:
                after = {name: wanted[name] for name in before} | ({"checks": True} if changed else {})
                _record(actor, "suite.changed", locked, before=before, after={**after, "revision": locked.revision})
    except IntegrityError as error:
        raise NameTaken(name=changes.name) from error
    return locked


def archive_suite(actor: Principal, suite: Suite) -> None:
    """Put a suite away; its runs stay. Again changes nothing. Raises SuiteRequired while an environment asks for it."""
    require(actor, "prompt.write", suite.team_id)
    with transaction.atomic():
        locked = _locked(suite)
        asking = SuiteRequirement.objects.filter(suite=locked).values_list("environment__name", flat=True)
        if names := sorted(asking):
            raise SuiteRequired(environments=", ".join(names))
        if locked.archived_at is None:
            locked.archived_at = timezone.now()
            locked.save(update_fields=["archived_at"])
            _record(actor, "suite.archived", locked)


def add_case(actor: Principal, suite: Suite, case: Case) -> SuiteCase:
    """Add a case. Raises CaseTaken, TooManyCases, Invalid."""
    require(actor, "prompt.write", suite.team_id)
    _check_schemas(case.checks, "checks")
    with transaction.atomic():
        locked = _locked(suite)
        (made,) = _add(locked, [case])
        _renew(locked)
        _record(actor, "suite.case_added", locked, after={"case": case.name, "revision": locked.revision})
    return made


def update_case(actor: Principal, row: SuiteCase, case: Case) -> SuiteCase:
    """Replace what a case says. The same again changes nothing. Raises CaseTaken, Invalid."""
    require(actor, "prompt.write", row.suite.team_id)
    _check_schemas(case.checks, "checks")
    with transaction.atomic():
        locked = _locked(row.suite)
        before = case_of(row)
        if before == case:
            return row
        if SuiteCase.objects.filter(suite=locked, name=case.name).exclude(pk=row.pk).exists():
            raise CaseTaken(name=case.name)
        for name, value in _columns(case).items():
            setattr(row, name, value)
        row.save()
        _change_checks(locked, row, case.checks)
        _renew(locked)
        changed = sorted(name for name, value in case.to_dict().items() if before.to_dict()[name] != value)
        after = {"case": case.name, "changed": changed, "revision": locked.revision}
        _record(actor, "suite.case_changed", locked, before={"case": before.name}, after=after)
    return row


def delete_case(actor: Principal, row: SuiteCase) -> None:
    """Remove a case from its suite; runs keep what was asked."""
    require(actor, "prompt.write", row.suite.team_id)
    with transaction.atomic():
        locked = _locked(row.suite)
        deleted, _ = SuiteCase.objects.filter(pk=row.pk).delete()
        if deleted:
            _renew(locked)
            _record(actor, "suite.case_removed", locked, before={"case": row.name}, after={"revision": locked.revision})


def import_cases(actor: Principal, suite: Suite, data: bytes, format: str, *, judge: str = "") -> list[SuiteCase]:
    """Add the cases of a file: all of them or none. `judge`: see `porting.cases.read_cases`, which says what is raised.

    Raises CaseTaken for a name that is there already, TooManyCases.
    """
    require(actor, "prompt.write", suite.team_id)
    cases = plan_import(actor, suite, data, format, judge=judge)
    with transaction.atomic():
        locked = _locked(suite)
        made = _add(locked, cases)
        _renew(locked)
        after = {"cases": len(made), "format": format, "revision": locked.revision}
        _record(actor, "suite.cases_imported", locked, after=after)
    return made


def plan_import(actor: Principal, suite: Suite, data: bytes, format: str, *, judge: str = "") -> list[Case]:
    """Return the cases that an import of the file would add. Adds none; raises as `import_cases`."""
    require(actor, "prompt.write", suite.team_id)
    cases = read_cases(data, format, judge=judge)
    for index, case in enumerate(cases):
        _check_schemas(case.checks, f"cases.{index}.checks")
    _check_new(suite, cases)
    return cases


def case_of(row: SuiteCase) -> Case:
    """Return a case as it is written down; its checks are fetched, unless they were."""
    return Case(
        row.name,
        row.variables,
        tuple(row.messages),
        row.expected,
        tuple(row.tag_list),
        row.is_required,
        row.repeats,
        tuple(Check(one.kind, one.options) for one in row.checks.all()),
    )


def cases_of(suite: Suite) -> list[Case]:
    """Return the suite's cases with their own checks: two queries."""
    return [case_of(row) for row in SuiteCase.objects.filter(suite=suite).with_checks()]


def checks_of(suite: Suite) -> tuple[Check, ...]:
    """Return the checks that every case of a suite is held to."""
    rows = SuiteCheck.objects.filter(suite=suite, case=None)
    return tuple(Check(one.kind, one.options) for one in rows)


def plan_of(suite: Suite) -> list[Case]:
    """Return the suite's cases with all the checks that they are held to: three queries."""
    common = checks_of(suite)
    return [case.with_checks(common) for case in cases_of(suite)]


def _check_new(suite: Suite, cases: Sequence[Case]) -> None:
    """Raise CaseTaken for a name that is there already, and TooManyCases."""
    there = set(SuiteCase.objects.filter(suite=suite).values_list("name", flat=True))
    if len(there) + len(cases) > MAX_CASES:
        raise TooManyCases(most=MAX_CASES)
    if taken := next((case.name for case in cases if case.name in there), None):
        raise CaseTaken(name=taken)


def _add(suite: Suite, cases: Sequence[Case]) -> list[SuiteCase]:
    _check_new(suite, cases)
    rows = SuiteCase.objects.bulk_create(SuiteCase(suite=suite, **_columns(case)) for case in cases)
    SuiteCheck.objects.bulk_create(
        SuiteCheck(suite=suite, case=row, kind=check.kind, options=dict(check.options))
        for row, case in zip(rows, cases, strict=True)
        for check in case.checks
    )
    return rows


def _columns(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "variables": dict(case.variables),
        "messages": [dict(message) for message in case.messages],
        "expected": case.expected,
        "tags": " ".join(case.tags),
        "is_required": case.required,
        "repeats": case.repeats,
    }


def _change_checks(suite: Suite, row: SuiteCase | None, checks: Sequence[Check]) -> bool:
    """Replace the checks of a case, or of every case; tell whether they are others now."""
    rows = SuiteCheck.objects.filter(suite=suite, case=row)
    if [Check(one.kind, one.options) for one in rows] == [replace(one, options=dict(one.options)) for one in checks]:
        return False
    rows.delete()
    _put_checks(suite, row, checks)
    if row is None:
        _renew(suite)
    return True


def _put_checks(suite: Suite, row: SuiteCase | None, checks: Sequence[Check]) -> None:
    SuiteCheck.objects.bulk_create(
        SuiteCheck(suite=suite, case=row, kind=check.kind, options=dict(check.options)) for check in checks
    )


def _renew(suite: Suite) -> None:
    """Take the next revision if what bears on verdicts changed. The caller holds the suite's row."""
    checksum = checksum_of(plan_of(suite))
    if checksum != suite.checksum:
        suite.checksum, suite.revision = checksum, suite.revision + 1
    suite.save(update_fields=["checksum", "revision", "updated_at"])


def _locked(suite: Suite) -> Suite:
    locked: Suite = Suite.objects.select_for_update(of=("self",)).get(pk=suite.pk)
    return locked


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise Invalid.field(
            "name", "1 to 100 small letters, digits, dots and dashes, beginning with a letter or digit."
        )


def _check_schemas(checks: Sequence[Check], place: str) -> None:
    """Refuse schemas that do not stand on their own; only those of versions are looked at elsewhere."""
    for index, check in enumerate(checks):
        if check.kind == "json_schema":
            try:
                shapes.check_output_schema(check.options["schema"])
            except Invalid as error:
                raise Invalid.field(f"{place}.{index}.options.schema", error.detail, code=error.code) from error


def _record(actor: Principal, verb: str, suite: Suite, **facts: Any) -> None:
    record(actor, verb, suite, team_id=suite.team_id, **facts)
