"""The bars of `training.py`, from its rows. A bar that was not measured is never met."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

OURS = "aninfonce"
FASTER, AUGMENTATION, WAITING = 1.3, 0.25, 0.05

Rounds = Mapping[str, Sequence[float]]


def ratio(rounds: Rounds, peers: Sequence[str]) -> float | None:
    """The median over the rounds of our images a second against the round's fastest peer; None if one is missing."""
    if any(not rounds.get(name) for name in (OURS, *peers)):
        return None
    fastest = [max(found) for found in zip(*(rounds[peer] for peer in peers), strict=True)]
    return statistics.median(mine / theirs for mine, theirs in zip(rounds[OURS], fastest, strict=True))


def bar(name: str, measured: float | None, limit: float, *, at_least: bool = False) -> dict[str, object]:
    """One bar's row: its verdict is PASS, MISSED or NOT MEASURED."""
    if measured is None:
        verdict = "NOT MEASURED"
    else:
        verdict = "PASS" if (measured >= limit if at_least else measured <= limit) else "MISSED"
    return {"name": name, "measured": measured, "bar": limit, "at_least": at_least, "verdict": verdict}


def bars(
    speeds: Mapping[str, Rounds], shares: Mapping[str, Mapping[str, float]], peers: Sequence[str]
) -> list[dict[str, object]]:
    """All bars: `speeds` holds the images a second of every round, by task and contender, `shares` those of a step."""
    found = [
        bar(
            f"{task}: images a second against the faster of {' and '.join(peers)}",
            ratio(rounds, peers),
            FASTER,
            at_least=True,
        )
        for task, rounds in speeds.items()
    ]
    for part, limit in (("augmentation", AUGMENTATION), ("data", WAITING)):
        label = "waiting for data" if part == "data" else part
        found += [bar(f"{task}: share of {label}", shares.get(task, {}).get(part), limit) for task in speeds]
    return found
