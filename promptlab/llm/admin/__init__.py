"""The pages of providers, of models, and of what they cost."""

from __future__ import annotations

from promptlab.llm.admin import language_models, masking, providers

__all__ = ["language_models", "masking", "providers"]
