"""From `aninfonce reproduce all` to the table in the docs: what was published or promised, and what came out.

    python benchmarks/experiments.py runs/all

Reads every `results.json` below the folder; writes `benchmarks/results/experiments.json` (metrics and references of
every experiment, without curves and pictures) and `docs/results.md`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aninfonce.experiments import EXPERIMENTS
from aninfonce.report.study import reference_cells

HERE = Path(__file__).parent
KEPT = ("name", "title", "seeds", "complete", "seconds", "cpu_seconds", "metrics", "per_seed", "references", "versions")


def main(folder: Path) -> None:
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/results.json")}
    ordered = [found[name] for name in EXPERIMENTS if name in found]
    if not ordered:
        raise SystemExit(
            f"no results below {folder}: expected NAME/results.json, as `aninfonce reproduce all` leaves them"
        )
    kept = [{key: results[key] for key in KEPT} for results in ordered]
    (HERE / "results" / "experiments.json").write_text(json.dumps(kept, indent=1) + "\n")
    (HERE.parent / "docs" / "results.md").write_text(document(ordered))


def document(ordered: list[dict[str, Any]]) -> str:
    minutes = sum(results["seconds"] for results in ordered) / 60
    core_minutes = sum(results["cpu_seconds"] for results in ordered) / 60
    rows = [row for results in ordered for row in results["references"] if row["met"] is not None]
    lines = [
        "# Every experiment: expected and measured",
        "",
        "Made by `python benchmarks/experiments.py runs/all` after `aninfonce reproduce all`, from "
        "[benchmarks/results/experiments.json](../benchmarks/results/experiments.json); CPU only, one thread a run. "
        f"{len(ordered)} experiments, {core_minutes:.0f} core-minutes ({minutes:.0f} minutes on the clock, other work "
        f"beside). {sum(row['met'] for row in rows)} of {len(rows)} figures are within their tolerance; "
        "the others are marked **NO**. What each experiment is and how to read its figures: "
        "[experiments.md](experiments.md).",
        "",
        "*published*: the paper, or the log of its public code. *theory*: derived, see `aninfonce verify`. *aim*: a "
        "bar that this project set itself.",
        "",
    ]
    for results in ordered:
        seeds = ", ".join(map(str, results["seeds"]))
        lines += [
            f"## {results['name']}",
            "",
            f"{results['title'][0].upper()}{results['title'][1:]}. Seeds {seeds}; "
            f"{results['cpu_seconds'] / 60:.1f} core-minutes{'' if results['complete'] else ', not complete'}.",
            "",
            "| quantity | source | expected | ours | within tolerance |",
            "|---|---|---|---|---|",
        ]
        for row in results["references"]:
            *cells, verdict = reference_cells(row)
            lines.append("| " + " | ".join([*cells, f"**{verdict}**" if verdict == "NO" else verdict]) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/experiments.py FOLDER, the folder of `aninfonce reproduce all`")
    main(Path(sys.argv[1]))
