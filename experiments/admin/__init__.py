"""Editors' pages about experiments. Importing registers."""

from experiments.admin import experiment, ramp

__all__ = ["experiment", "ramp"]
