"""The demo: a team with people, prompts, experiments and three weeks of life, made through the services."""

from promptlab.management.demo.people import demo_team
from promptlab.management.demo.seeding import seed

__all__ = ["demo_team", "seed"]
