"""Telling on the terminal what an import does, or did."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from promptlab.lib.errors import DomainError
from prompts.services.porting import Plan


def say(command: BaseCommand, plan: Plan) -> None:
    """Print a sentence for each prompt, notices to standard error. Raises CommandError when something is wrong."""
    for item in plan.items:
        command.stdout.write(f"{item.name}: {item.sentence}")
    for notice in [*plan.notices, *(notice for item in plan.items for notice in item.notices)]:
        command.stderr.write(notice)
    if plan.problems:
        raise CommandError("Nothing can be imported while something is wrong.")


def refused(error: DomainError) -> CommandError:
    """Return the error that ends a command: every problem on a line of its own."""
    told = [problem.detail for problem in error.problems] or [error.detail]
    return CommandError("\n".join(dict.fromkeys([error.detail, *told])))
