"""The search itself, by the library gepa: reflective evolution with a Pareto front (Agrawal et al. 2025, arXiv:2507.19457).

Imported in workers only, and only when a search runs. What is ours: scoring, what a model is told, and when to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from promptlab.lib.logs import get_logger
from prompts.services.scoring import Scored

log = get_logger(__name__)
MINIBATCH: Final = 3
PATIENCE: Final = 12
"""So many proposals in a row that made nothing better end a search."""
Texts = dict[str, str]
"""The parts of a prompt by their numbers, which is what is evolved."""


class Enough(Exception):
    """The rest of the budget is for the cases that were held out."""


@dataclass
class Tried:
    """A text that was scored on all cases that are searched, in the order in which they were found."""

    texts: Texts
    scores: list[Scored]

    @property
    def score(self) -> float:
        return sum(one.score for one in self.scores) / len(self.scores)

    @property
    def passed(self) -> int:
        return sum(one.is_passed for one in self.scores)


@dataclass
class Evolution:
    """One search. `score` and `propose` ask models; both raise when the run may ask no more."""

    cases: Sequence[Any]
    score: Callable[[Texts, Sequence[int]], list[Scored]]
    propose: Callable[[Texts, str, Sequence[Scored]], str]
    tell: Callable[[Sequence[Tried]], None]
    proposals: int
    seed: int
    tried: list[Tried] = field(default_factory=list)
    ended: str = ""
    _broken: BaseException | None = None
    _best: float = -1.0
    _best_at: int = 0

    def run(self, start: Texts) -> list[Tried]:
        """Search from a text, and return all that were scored in full, the start first. Raises what stops the run."""
        from gepa.api import optimize

        places = list(range(len(self.cases)))
        # The library's types ask for generic classes; what it calls is what is here.
        ours: dict[str, Any] = {"adapter": self, "stop_callbacks": self._is_over}
        try:
            optimize(
                seed_candidate=start,
                trainset=places,
                valset=places,
                reflection_minibatch_size=min(MINIBATCH, len(places)),
                logger=_Silent(),
                seed=self.seed,
                track_best_outputs=False,
                **ours,
            )
        except Enough:
            self.ended = "budget"
        if isinstance(self._broken, Enough):
            self.ended = "budget"
        elif self._broken is not None:
            raise self._broken
        return self.tried

    def evaluate(self, batch: list[int], candidate: Texts, capture_traces: bool = False) -> Any:
        """Score a text on some cases, as the library asks."""
        from gepa.core.adapter import EvaluationBatch

        found = self.score(candidate, batch)
        if list(batch) == list(range(len(self.cases))) and all(one.texts != candidate for one in self.tried):
            self.tried.append(Tried(dict(candidate), found))
            self.tell(self.tried)
        traces = found if capture_traces else None
        return EvaluationBatch(outputs=[None] * len(found), scores=[one.score for one in found], trajectories=traces)

    def make_reflective_dataset(
        self, candidate: Texts, eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Hand the scored cases on to `propose`, for every part."""
        return {name: [{"scored": one} for one in eval_batch.trajectories] for name in components_to_update}

    def propose_new_texts(
        self, candidate: Texts, dataset: Mapping[str, Sequence[Mapping[str, Any]]], components_to_update: list[str]
    ) -> Texts:
        """Return better texts for these parts, as the library asks."""
        # The library goes on after what breaks here: it is kept, and ends the search at its next look.
        try:
            return {
                name: self.propose(candidate, name, [one["scored"] for one in dataset[name]])
                for name in components_to_update
            }
        except BaseException as error:
            self._broken = error
            raise

    def _is_over(self, state: Any) -> bool:
        """Tell whether to stop: it broke, all cases pass, nothing gets better, or enough was proposed."""
        best = max((one.score for one in self.tried), default=0.0)
        if best > self._best:
            self._best, self._best_at = best, state.i
        if best >= 1:
            self.ended = "perfect"
        elif state.i - self._best_at >= PATIENCE:
            self.ended = "idle"
        elif state.i + 1 >= self.proposals:
            self.ended = "proposals"
        return bool(self.ended) or self._broken is not None


def front(tried: Sequence[Tried]) -> list[int]:
    """Return which texts are the best on some case, and on no set of cases worse throughout than another: the Pareto front."""

    def beats(one: Tried, other: Tried) -> bool:
        pairs = [(a.score, b.score) for a, b in zip(one.scores, other.scores, strict=True)]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    return [
        place for place, one in enumerate(tried) if not any(beats(other, one) for other in tried if other is not one)
    ]


class _Silent:
    """The library writes to the standard output unless it is given somebody to tell."""

    def log(self, message: str) -> None:
        """Say nothing: the run's rows hold what happened."""
