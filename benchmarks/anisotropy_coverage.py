"""How often do the 95 % intervals of `metrics.anisotropy` hold the truth? `python benchmarks/anisotropy_coverage.py`.

Pairs are drawn from the exact conditional, seed 1,000,000 + r for replicate r of every setting, so that a longer run
extends a shorter one. The settings take turns; when the minutes are over, each has as many replicates as it got. The
table goes into `docs/objectives.md`; `--table` only writes it anew from the file of results.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from _pages import filled, table
from aninfonce import metrics
from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "objectives.md"
SUMMARIES = ("ratio", "participation", "effective_dimensions")
TESTS = ("information_matrix", "cross_terms")
FIRST_SEED = 1_000_000  # the method was chosen on others
BLOCK = 10  # replicates before it is the next setting's turn


@dataclass
class Setting:
    name: str
    concentration: tuple[float, ...]
    rows: int
    negatives: int
    replicates: list[dict[str, object]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        return len(self.replicates) + sum(self.refused.values())


SETTINGS = (
    Setting("(100, 50, 10)", (100.0, 50.0, 10.0), 540, 16),
    Setting("(3, 1)", (3.0, 1.0), 100, 2),
    Setting("(10, 10, 10, 0.05)", (10.0, 10.0, 10.0, 0.05), 1000, 16),
    Setting("(5, 5, 5)", (5.0, 5.0, 5.0), 540, 16),
    Setting("(20, 10, 5)", (20.0, 10.0, 5.0), 2000, 16),
    Setting("(20, 10)", (20.0, 10.0), 400, 4),
    Setting("(5, 5, 4.5, 4.5)", (5.0, 5.0, 4.5, 4.5), 600, 8),
    Setting("(30, 3, 3, 3, 1)", (30.0, 3.0, 3.0, 3.0, 1.0), 1000, 16),
    Setting("(50, 1)", (50.0, 1.0), 300, 4),
    Setting("(8, 8, 10⁻⁴, 10⁻⁴)", (8.0, 8.0, 1e-4, 1e-4), 600, 8),
    Setting("(4, 2, 1, ½, ¼, 1, …, 1)", (4.0, 2.0, 1.0, 0.5, 0.25, 1.0, 1.0, 1.0, 1.0, 1.0), 1000, 8),
    Setting("(12.5 × 5, 2.5 × 5)", (12.5,) * 5 + (2.5,) * 5, 1000, 8),
    Setting("(3, 3, 3, 3, 1)", (3.0, 3.0, 3.0, 3.0, 1.0), 2000, 1),
    Setting("(4, 4, -2)", (4.0, 4.0, -2.0), 540, 8),
    Setting("(2, 1)", (2.0, 1.0), 60, 1),
)


def truths(concentration: tuple[float, ...]) -> dict[str, float]:
    values = np.array(concentration)
    if values.min() < 0:
        return dict.fromkeys(SUMMARIES, math.nan)
    share = values / values.sum()
    return {
        "ratio": float(values.max() / values.min()),
        "participation": float(1 / (share**2).sum()),
        "effective_dimensions": math.exp(-float((share * np.log(share)).sum())),
    }


def replicate(setting: Setting, seed: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.tensor(setting.concentration, dtype=torch.float64)
    u = HypersphericalUniform(len(truth), dtype=torch.float64).sample((setting.rows,), generator=generator)
    v = AnisotropicSpherical(u, truth, signed=True).sample(generator=generator)
    found = metrics.anisotropy(u, v, negatives=setting.negatives, seed=seed)
    return {
        "low": found.low.tolist(),
        "high": found.high.tolist(),
        "wrong": round((1 - found.hit_at_1) * found.n),
        **{name: [getattr(found, name).low, getattr(found, name).high] for name in SUMMARIES},
        **{name: getattr(found, name).p_value for name in TESTS},
    }


def measure(settings: tuple[Setting, ...], replicates: int, minutes: float) -> None:
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end and any(setting.tried < replicates for setting in settings):
        for setting in settings:
            started = time.process_time()
            for seed in range(setting.tried, min(setting.tried + BLOCK, replicates)):
                try:
                    setting.replicates.append(replicate(setting, FIRST_SEED + seed))
                except ValueError as error:  # Λ not determined: counted, with the beginning of the reason
                    reason = str(error).split(",")[0]
                    setting.refused[reason] = setting.refused.get(reason, 0) + 1
            setting.seconds += time.process_time() - started


def coverage(low: np.ndarray, high: np.ndarray, truth: float) -> dict[str, float | int | None]:
    """Shares of the intervals that are defined; rounding at an end that is the truth is no miss."""
    defined = ~np.isnan(low)
    low, high = low[defined], high[defined]
    if math.isnan(truth) or not defined.any():
        return {"undefined": 1 - float(defined.mean()), "wrongly_defined": int(defined.sum())}
    above, below = low > truth * (1 + 1e-9), high < truth * (1 - 1e-9)
    width = float(np.median(high)) - float(np.median(low))
    return {
        "truth": truth,
        "undefined": 1 - float(defined.mean()),
        "too_high": float(above.mean()),
        "too_low": float(below.mean()),
        "coverage": float((~above & ~below).mean()),
        "median_width": width if math.isfinite(width) else None,
        "unbounded": float(np.isinf(high).mean()),
    }


def summarised(setting: Setting) -> dict[str, object]:
    found = setting.replicates
    low, high = (np.array([one[end] for one in found]) for end in ("low", "high"))
    truth = np.array(setting.concentration)
    pooled = {
        "too_high": (low > truth).mean(axis=0).tolist(),
        "too_low": (high < truth).mean(axis=0).tolist(),
        "coverage": ((low <= truth) & (truth <= high)).mean(axis=0).tolist(),
        "median_width": np.median(high - low, axis=0).tolist(),
    }
    ends = {name: np.array([one[name] for one in found], dtype=np.float64) for name in SUMMARIES}
    head = {key: value for key, value in asdict(setting).items() if key != "replicates"}
    return {
        **head,
        "replicates": setting.tried,
        "wrong_anchors": float(np.mean([one["wrong"] for one in found])),
        "entries": pooled,
        **{name: coverage(*ends[name].T, value) for name, value in truths(setting.concentration).items()},
        "rejected_at_5_percent": {test: float(np.mean([one[test] < 0.05 for one in found])) for test in TESTS},
    }


def tables(settings: list[dict]) -> str:
    def shown(found: dict) -> str:
        if "coverage" not in found:
            return "undefined" if found["undefined"] == 1 else f"undefined {100 * found['undefined']:.1f}"
        return f"{100 * found['coverage']:.1f}"

    rows = []
    for one in settings:
        entries = one["entries"]["coverage"]
        refused = sum(one["refused"].values()) / one["replicates"]
        undefined = one["participation"]["undefined"]
        rows.append(
            [
                one["name"],
                f"{one['rows']:,}",
                str(one["negatives"]),
                f"{one['wrong_anchors']:.0f}",
                f"{one['replicates']:,}",
                f"{100 * min(entries):.1f} to {100 * max(entries):.1f}",
                *(shown(one[name]) for name in SUMMARIES),
                f"{100 * refused:.1f} / {100 * undefined:.1f}",
                *(f"{100 * one['rejected_at_5_percent'][test]:.1f}" for test in TESTS),
            ]
        )
    header = ["Λ", "pairs", "M", "wrong", "runs", "entries", "ratio", "participation", "effective dimensions"]
    return table([*header, "refused / undefined", "H = S", "cross terms"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000, help="of every setting (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after that time (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, only write the table")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "anisotropy-coverage.json")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the table goes (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.table:
        torch.set_num_threads(1)
        measure(SETTINGS, arguments.replicates, arguments.minutes)
        result = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "level": 0.95,
            "settings": [summarised(setting) for setting in SETTINGS],
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    text = tables(json.loads(arguments.out.read_text(encoding="utf-8"))["settings"])
    page = arguments.page.read_text(encoding="utf-8")
    arguments.page.write_text(filled(page, {"anisotropy-coverage": text}), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
