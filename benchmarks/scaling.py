"""What training asks of many GPUs: volumes, memory and operations measured on a CPU, and arithmetic from there.

    python benchmarks/scaling.py [--quick] [--out benchmarks/results/scaling.json] [--docs docs/scaling.md]
    python benchmarks/scaling.py --show     # the tables of an earlier run into the page again

Measured: the bytes of every collective of a data-parallel step (gloo, 2 and 3 processes), which must equal the formula
to the byte; what autograd keeps of an image in each backbone; the operations of backbone and loss, counted; the loss's
peak memory against batch and width. The rest is arithmetic, with the assumptions that the page states.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from _pages import filled, table
from _scaling_memory import BACKBONES, count_loss_flops, loss_flops, measure_backbone, measure_loss_memory
from _scaling_plan import BATCHES, GPUS, Assumptions, plan
from _scaling_traffic import COLLECTIVES, measure_traffic
from losses import machine, versions

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "scaling.md"
PLANNED = ("resnet50", "resnet18")
TRAFFIC = ((2, 32, 64), (2, 64, 128), (3, 32, 128))  # processes, images each, dimensions
LOSS = ((4096, 64), (4096, 128), (4096, 256), (8192, 128), (16_384, 128))
FLOPS = ((2048, 64, 512), (4096, 128, 512))


def run(quick: bool) -> dict[str, Any]:
    """Measure everything, then plan.

    Raises:
        RuntimeError: if a count differs from its formula.
    """
    traffic = [measure_traffic(*case) for case in (TRAFFIC[:1] if quick else TRAFFIC)]
    for row in traffic:
        if row["counted"] != row["formula"]:
            raise RuntimeError(f"counted {row['counted']}, the formula says {row['formula']}")
        print(f"traffic of {row['world']} processes: as the formula says", flush=True)
    flops = []
    for batch, dim, chunk in FLOPS[:1] if quick else FLOPS:
        counted, expected = count_loss_flops(batch, dim, chunk), loss_flops(batch, dim, chunk)
        if counted != expected:
            raise RuntimeError(f"the loss has {counted} operations, the formula says {expected}")
        flops.append({"batch": batch, "dim": dim, "chunk": chunk, "flops": counted})
        print(f"operations of the loss at batch {batch}: as the formula says", flush=True)
    backbones = [measure_backbone(*case) for case in BACKBONES]
    memory = []
    for batch, dim in LOSS[:2] if quick else LOSS:
        memory.append(measure_loss_memory(batch, dim))
        print(f"memory of the loss, {batch} × {dim}: {amount(memory[-1]['peak_bytes'])}", flush=True)
    return {
        "name": "scaling",
        "machine": machine(),
        "versions": versions(("torch",)),
        "traffic": traffic,
        "loss_flops": flops,
        "backbones": backbones,
        "loss_memory": memory,
        **arithmetic(backbones, memory),
    }


def arithmetic(backbones: Sequence[Mapping[str, Any]], memory: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plans, from the measured figures; the loss's peak is taken from the largest batch measured."""
    assumptions = Assumptions()
    largest = max(memory, key=lambda row: (row["batch"], row["dim"]))
    held = largest["matrices"] + 2  # and the embeddings that it was given
    plans = [
        {"backbone": backbone["name"], "gpus": gpus, "batch": batch, **plan(backbone, held, gpus, batch, assumptions)}
        for backbone in backbones
        if backbone["name"] in PLANNED
        for gpus in GPUS
        for batch in BATCHES
    ]
    return {"assumptions": asdict(assumptions), "matrices": held, "plans": plans}


def amount(value: float, unit: str = "B") -> str:
    """With a prefix of the SI: 1234567 B is 1.23 MB."""
    for prefix, scale in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """The page's tables by the name of their place in it."""
    assumed = results["assumptions"]
    found = {
        "traffic": table(
            ["processes × images, dimensions", *COLLECTIVES, "as the formula"],
            [
                [
                    f"{row['world']} × {row['rows']}, {row['dim']}",
                    *(f"{row['counted'][kind]:,}" for kind in COLLECTIVES),
                    "yes" if row["counted"] == row["formula"] else "no",
                ]
                for row in results["traffic"]
            ],
        ),
        "backbones": table(
            ["", "image", "parameters", "kept for the backward pass", "forward", "forward and backward"],
            [
                [
                    row["name"],
                    row["image"],
                    f"{row['parameters']:,}",
                    amount(row["activation_bytes"]),
                    amount(row["forward_flops"], "FLOP"),
                    amount(row["step_flops"], "FLOP"),
                ]
                for row in results["backbones"]
            ],
        ),
        "loss-memory": table(
            ["batch × dimensions", "peak", "in matrices of batch × dimensions"],
            [
                [f"{row['batch']:,} × {row['dim']}", amount(row["peak_bytes"]), f"{row['matrices']:.1f}"]
                for row in results["loss_memory"]
            ],
        ),
        "machine": f"{results['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + ".",
        "assumptions": table(
            ["assumed", ""],
            [
                ["a GPU sends", f"{amount(assumed['bandwidth'])}/s"],
                ["a GPU computes, sustained", f"{amount(assumed['flops'], 'FLOP')}/s"],
                ["a GPU has", amount(assumed["memory"])],
                ["images a piece, with cached gradients", f"{assumed['piece']}"],
                ["dimensions of the embedding", f"{assumed['dim']}"],
                ["the loss holds, in matrices of batch × dimensions", f"{results['matrices']:.1f}"],
            ],
        ),
    }
    for backbone in PLANNED:
        rows = [row for row in results["plans"] if row["backbone"] == backbone]
        found[f"plan-{backbone}"] = table(
            [
                "GPUs, global batch",
                "images a GPU",
                "sent for the loss",
                "sent for gradients",
                "sending",
                "loss",
                "network",
                "with a second forward",
                "computing",
                "memory of the loss",
                "memory",
                "with cached gradients",
            ],
            [
                [
                    f"{row['gpus']}, {row['batch']:,}",
                    f"{row['rows']:,}",
                    amount(row["loss_bytes"]),
                    amount(row["gradient_bytes"]),
                    f"{row['seconds_sending'] * 1e3:.3g} ms",
                    amount(row["loss_flops"], "FLOP"),
                    amount(row["network_flops"], "FLOP"),
                    amount(row["cached_network_flops"], "FLOP"),
                    f"{row['seconds_computing']:.3g} s",
                    amount(row["loss_memory"]),
                    _fitting(row["memory"], assumed["memory"]),
                    _fitting(row["cached_memory"], assumed["memory"]),
                ]
                for row in rows
            ],
        )
    return found


def _fitting(needed: float, there: float) -> str:
    return amount(needed) if needed <= there else f"**{amount(needed)}**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cases, into runs/benchmarks, not into the page")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/scaling.json)")
    parser.add_argument("--docs", type=Path, default=PAGE, help="the page whose tables are replaced")
    parser.add_argument("--show", action="store_true", help="measure nothing: the arithmetic and the tables again")
    arguments = parser.parse_args()
    out = arguments.out or (Path("runs/benchmarks") if arguments.quick else HERE / "results") / "scaling.json"
    if arguments.show:
        if not out.is_file():
            parser.error(f"there are no results in {out}; measure first, without --show")
        results = json.loads(out.read_text(encoding="utf-8"))
        results |= arithmetic(results["backbones"], results["loss_memory"])
    else:
        start = time.perf_counter()
        torch.set_num_threads(1)
        results = run(arguments.quick)
        print(f"measured in {time.perf_counter() - start:.0f} s")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    print(f"written to {out}")
    content = tables(results)
    for name, text in content.items():
        print(f"\n{name}\n{text}")
    if not arguments.quick:
        arguments.docs.write_text(filled(arguments.docs.read_text(encoding="utf-8"), content), encoding="utf-8")
        print(f"written to {arguments.docs}")


if __name__ == "__main__":
    main()
