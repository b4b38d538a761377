"""From `aninfonce reproduce` to the table in the docs: what was published or promised, and what came out.

    python benchmarks/experiments.py runs/all      every experiment below the folder, NAME/results.json
    python benchmarks/experiments.py runs/some     the same if it holds a few of them: the others stay as they are

Writes `benchmarks/results/experiments.json` (metrics and references of every experiment, without curves and pictures)
and `docs/results.md`. What stays is held against the references that the experiment has now, and it is said which runs
it has had only since it was measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aninfonce.experiments import EXPERIMENTS
from aninfonce.experiments.reference import held_against
from aninfonce.report.study import reference_cells

HERE = Path(__file__).parent
KEPT = ("name", "title", "seeds", "complete", "seconds", "cpu_seconds", "metrics", "per_seed", "references", "versions")


def main(folder: Path) -> None:
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/results.json")}
    if not found.keys() & EXPERIMENTS.keys():
        raise SystemExit(
            f"no results below {folder}: expected NAME/results.json, as `aninfonce reproduce all` leaves them"
        )
    stored = HERE / "results" / "experiments.json"
    before = json.loads(stored.read_text()) if stored.exists() else []
    merged = {results["name"]: held_anew(results) for results in before} | found
    kept = [{key: merged[name][key] for key in KEPT} for name in EXPERIMENTS if name in merged]
    stored.write_text(json.dumps(kept, indent=1) + "\n")
    (HERE.parent / "docs" / "results.md").write_text(document(kept))


def held_anew(results: dict[str, Any]) -> dict[str, Any]:
    """Stored results, held against the references that the experiment has now."""
    references = EXPERIMENTS[results["name"]]().study().references
    return {**results, "references": held_against(references, results["metrics"])}


def since(results: dict[str, Any]) -> list[str]:
    """The experiment's methods, with its own settings, that these results lack."""
    ran = {name.partition("/")[0] for name in results["per_seed"]}
    return [method for method in EXPERIMENTS[results["name"]]().study().methods if method not in ran]


def document(ordered: list[dict[str, Any]]) -> str:
    minutes = sum(results["seconds"] for results in ordered) / 60
    core_minutes = sum(results["cpu_seconds"] for results in ordered) / 60
    rows = [row for results in ordered for row in results["references"] if row["met"] is not None]
    lines = [
        "# Every experiment: expected and measured",
        "",
        "`python benchmarks/experiments.py runs/all` writes this page after `aninfonce reproduce all`, from "
        "[benchmarks/results/experiments.json](../benchmarks/results/experiments.json). Some experiments were "
        "measured again later on their own. All ran on a CPU, with one thread for each run. "
        f"The {len(ordered)} experiments took {core_minutes:.0f} core-minutes ({minutes:.0f} minutes on the clock, "
        f"with other work running beside them). {sum(row['met'] for row in rows)} of {len(rows)} figures are within "
        "their tolerance; the others are marked **NO**. [experiments.md](experiments.md) describes the experiments and "
        "how to read their figures.",
        "",
        "The sources of the expected values are: *published*, the paper or the log of its public code; *theory*, "
        "derived (see `aninfonce verify`); and *aim*, a bar that this project set itself.",
        "",
    ]
    for results in ordered:
        seeds = ", ".join(map(str, results["seeds"]))
        lacking = since(results)
        later = f" Measured before the experiment had {', '.join(f'`{name}`' for name in lacking)}." if lacking else ""
        lines += [
            f"## {results['name']}",
            "",
            f"{results['title'][0].upper()}{results['title'][1:]}. Seeds {seeds}; "
            f"{results['cpu_seconds'] / 60:.1f} core-minutes{'' if results['complete'] else ', not complete'}.{later}",
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
