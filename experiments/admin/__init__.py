"""Editors' pages about experiments. Importing registers."""

from experiments.admin import experiment

__all__ = ["experiment"]
