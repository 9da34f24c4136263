"""Which prompt was filled, said on the application's current span of OpenTelemetry, if it has one.

OpenTelemetry is never imported here: an application that uses it has done so.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlab_sdk.prompt import Prompt

log = logging.getLogger("promptlab")
_modules = sys.modules


def note(prompt: Prompt) -> None:
    """Set name, version and variant on the current span; never a value of a variable, and never an error."""
    api = _modules.get("opentelemetry.trace")
    if api is not None:
        try:
            _set(api.get_current_span(), prompt)
        except Exception:  # Whatever is wrong with a span must not cost anybody the prompt.
            log.debug("no span attributes", exc_info=True)


def _set(span: object, prompt: Prompt) -> None:
    if not span.is_recording():  # type: ignore[attr-defined]  # a Span; its type is not here
        return
    said: dict[str, str | int] = {"gen_ai.prompt.name": prompt.name, "gen_ai.prompt.version": str(prompt.version)}
    if prompt.environment is not None:
        said["promptlab.environment"] = prompt.environment
    if prompt.variant is not None and prompt.experiment is not None:
        said["promptlab.experiment.key"] = said["feature_flag.key"] = prompt.experiment.key
        said["promptlab.experiment.variant"] = said["feature_flag.result.variant"] = prompt.variant
    span.set_attributes(said)  # type: ignore[attr-defined]
