"""Sprites a second, one thread: `python benchmarks/sprites.py [--seconds 2] [--out benchmarks/results]`.

Process time, the best of repetitions, all contestants in turn in one run. The bar is 2,000 images of 32×32 a second.
Pillow draws the same polygon at four times the resolution and shrinks it, one image at a time. "pairs" counts images,
two a pair, and includes drawing the latents from the exact conditional.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, ImageDraw

from aninfonce.data.generators import FACTOR_RANGES, LatentsToFactors, SpriteGenerator, SpriteRenderer
from aninfonce.data.latent_pairs import LatentPairs

BATCH = 512
BAR = 2000


def random_factors(n: int, generator: torch.Generator) -> torch.Tensor:
    low, high = torch.tensor([(r.low, r.high) for r in FACTOR_RANGES.values()]).T
    return low + (high - low) * torch.rand(n, len(low), generator=generator)


def pillow(factors: list[float], size: int = 32, scale: int = 4) -> np.ndarray:
    """About the same picture, by supersampling."""
    x, y, radius, degrees, hue, lightness, background_hue, background_lightness, elongation, stripe = factors

    def colour(mean: float, turns: float, chroma: float) -> tuple[int, ...]:
        return tuple(round(255 * (mean + chroma * math.cos(2 * math.pi * (turns - k / 3)))) for k in range(3))

    half = size * scale / 2
    area = math.pi * (radius * half) ** 2 / 0.775
    length, width = math.sqrt(area * elongation), math.sqrt(area / elongation)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def place(u: float, v: float) -> tuple[float, float]:
        along, across = (u - 0.3984) * length, v * width
        return half * (1 + x) + cos * along - sin * across, half * (1 + y) + sin * along + cos * across

    def half_width(u: float) -> float:
        return 0.5 * min(1.0, (1 - u) / 0.45)

    image = Image.new("RGB", (size * scale, size * scale), colour(background_lightness, background_hue, 0.1))
    draw = ImageDraw.Draw(image)
    house = [place(0, -0.5), place(0.55, -0.5), place(1, 0), place(0.55, 0.5), place(0, 0.5)]
    draw.polygon(house, fill=colour(lightness, hue, 0.35))
    ends = [(u, half_width(u)) for u in (stripe - 0.12, stripe + 0.12)]
    draw.polygon([place(u, s * w) for s, part in ((1, ends), (-1, ends[::-1])) for u, w in part], fill=(247, 247, 247))
    return np.asarray(image.reduce(scale), dtype=np.float32) / 255


def contestants() -> dict[str, tuple[int, Callable[[], object]]]:
    """Name -> images a call, and a function that renders them once."""
    generator = torch.Generator().manual_seed(0)
    factors = random_factors(BATCH, generator)
    few = factors[:32].tolist()
    renderer = SpriteRenderer()
    pairs = LatentPairs(torch.tensor([12.5] * 5 + [2.5] * 5), SpriteGenerator(LatentsToFactors.first(10), renderer))
    batches = pairs.batches(BATCH, generator, pool=1)
    differentiable = factors[:128].clone().requires_grad_()
    large = SpriteRenderer(size=64, chunk=32)
    return {
        "factors to images, 32×32": (BATCH, lambda: renderer(factors)),
        "factors to images, 64×64": (BATCH // 4, lambda: large(factors[: BATCH // 4])),
        "pairs from latents, 32×32": (2 * BATCH, lambda: next(batches)),
        "forward + backward to the factors, 32×32": (128, lambda: renderer(differentiable).sum().backward()),
        "Pillow, 32×32, one at a time": (len(few), lambda: [pillow(row) for row in few]),
    }


def measure(functions: dict[str, tuple[int, Callable[[], object]]], seconds: float) -> dict[str, float]:
    """Images a second, the best of rounds that go through all functions until the time is used up."""
    best = dict.fromkeys(functions, 0.0)
    for _, function in functions.values():
        function()
    end = time.perf_counter() + seconds * len(functions)
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, (images, function) in functions.items():
            start = time.process_time()
            function()
            best[name] = max(best[name], images / (time.process_time() - start))
        rounds += 1
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="time for each contestant")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    speeds = measure(contestants(), arguments.seconds)
    print(f"{'':45} images a second   against the bar of {BAR:,}")
    for name, value in speeds.items():
        print(f"{name:45} {value:15,.0f}   {value / BAR:8.1f}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "sprites.json"
    result = {
        "batch": BATCH,
        "threads": 1,
        "bar": BAR,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__},
        "images_a_second": {name: round(value) for name, value in speeds.items()},
    }
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
