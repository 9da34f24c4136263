"""What one variant gave, as sums over its units, and how uncertain a mean over events is when units give several."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over units i with n_i events that add up to s_i: everything a mean and its variance need.

    `units` K, `events` N = Σn_i, `total` S = Σs_i, `events_sq` Σn_i², `total_sq` Σs_i², `events_total` Σn_i·s_i.
    `squares` is Σx² over single events; None says that every event is 0 or 1, so that it equals `total`.
    """

    units: int
    events: int
    total: float
    events_sq: float
    total_sq: float
    events_total: float
    squares: float | None = None

    @property
    def mean(self) -> float:
        """S / N, in the unit of an event. Raises ZeroDivisionError without events."""
        return self.total / self.events

    @property
    def is_binary(self) -> bool:
        return self.squares is None


@dataclass(frozen=True, slots=True)
class Spread:
    """`event`: variance of one event. `mean`: variance of the mean over all of them."""

    event: float
    mean: float


def independent(events: int, total: int) -> Moments:
    """Return the moments of `events` events of 0 or 1, each of another unit, `total` of them 1."""
    return Moments(events, events, total, events, total, total)


def clustered_variance(of: Moments) -> float:
    """Return the variance of `of.mean` when events of one unit may be alike; 0.0 below two units.

    (Σs² - 2R·Σns + R²·Σn²) / N² · K / (K - 1), with R = S / N: the delta method for a ratio of two means over units
    (Deng, Knoblich, Lu 2018, KDD, eq. 4, doi:10.1145/3219819.3219919). Raises ValueError without events.
    """
    if of.events <= 0:
        raise ValueError("Nothing was observed.")
    if of.units < 2:
        return 0.0
    mean = of.mean
    squares = of.total_sq - 2 * mean * of.events_total + mean * mean * of.events_sq
    # Rounding leaves a hair below zero where all units are alike.
    return max(0.0, squares) / of.events**2 * of.units / (of.units - 1)


def spread(of: Moments) -> Spread:
    """Return the variance of an event and of the mean, the latter never below that of independent events.

    A share is taken as (S + 1) / (N + 2), so that all thumbs up is no certainty (Agresti, Caffo 2000, The American
    Statistician 54:280). Raises ValueError without events.
    """
    clustered = clustered_variance(of)
    if of.squares is None:
        share = (of.total + 1) / (of.events + 2)
        event = share * (1 - share)
    elif of.events < 2:
        event = 0.0
    else:
        event = max(0.0, of.squares - of.total * of.mean) / (of.events - 1)
    return Spread(event, max(clustered, event / of.events))


def design_effect(of: Moments) -> float:
    """Return by which factor units that give several events widen the variance of the mean; at least 1 (Kish 1965)."""
    found = spread(of)
    return found.mean * of.events / found.event if found.event else 1.0


def effective_events(one: Spread, other: Spread) -> float:
    """Return how many independent events, of both together, would be as uncertain; 0.0 where nothing varies."""
    variance = one.mean + other.mean
    return 2 * (one.event + other.event) / variance if variance else 0.0
