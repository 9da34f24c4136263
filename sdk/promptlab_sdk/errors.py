"""What the SDK raises. All are PromptLabErrors; most are also the built-in error one would expect."""

from __future__ import annotations

from collections.abc import Sequence

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.contract import Problem


class PromptLabError(Exception):
    """Base of all errors of the SDK. `status` and `code` are the server's, when it answered."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class PromptNotFound(PromptLabError, LookupError):
    """No such prompt, or nothing of it is deployed in that environment."""


class MissingVariable(PromptLabError, template.MissingVariable):
    """Blanks without a value; `names` lists all of them."""

    def __init__(self, names: tuple[str, ...], prompt: str = "") -> None:
        template.MissingVariable.__init__(self, names)
        self.status = None
        self.code = None
        self.prompt = prompt

    def __str__(self) -> str:
        text = template.MissingVariable.__str__(self)
        return f"{self.prompt}: {text}" if self.prompt else text


class VariablesInvalid(PromptLabError, ValueError):
    """Values are not as the prompt declares them; `problems` lists every one, missing ones included, no value is told."""

    def __init__(self, problems: Sequence[Problem], prompt: str = "") -> None:
        super().__init__(f"{prompt}: {' '.join(problem.detail for problem in problems)}", code="invalid_variables")
        self.problems = tuple(problems)
        self.prompt = prompt

    def __reduce__(self) -> tuple[type[VariablesInvalid], tuple[tuple[Problem, ...], str]]:
        return type(self), (self.problems, self.prompt)


class Unauthorized(PromptLabError):
    """The API key is missing, wrong, revoked, or not allowed to do this."""


class RateLimited(PromptLabError):
    """The key has used up its quota. `retry_after_s` is the server's advice, if it gave one."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after_s = retry_after_s


class ServiceUnavailable(PromptLabError, ConnectionError):
    """PromptLab cannot be reached, is failing, or answered something that is not PromptLab's."""


class BootstrapInvalid(PromptLabError, ValueError):
    """The bootstrap cannot be read, or its signature is wrong."""
