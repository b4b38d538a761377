"""Time of the augmentations against kornia's and torchvision's, and of the small network that they feed.

    python benchmarks/augmentation.py [--seconds 3] [--out benchmarks/results]

One thread, process time, the minimum over repetitions, all contestants in turn in one run. All of them crop, flip,
jitter brightness, contrast, saturation and hue, remove colours and blur, with the same probabilities and ranges. kornia
works on the whole batch, torchvision on one image at a time, since it draws once a call.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import kornia
import torch
import torchvision
from torchvision.transforms import v2

from aninfonce.data import Augmentation, AugmentationConfig
from aninfonce.models import SmallConvNet

BATCH = 256


def contestants() -> dict[str, Callable[[], object]]:
    """Name -> a function that works once through a batch of 256 images."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.randint(256, (BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)
    gray = torch.randint(256, (BATCH, 1, 28, 28), generator=generator, dtype=torch.uint8)
    ours_colour = Augmentation(channels=3, image_size=32)
    ours_gray = Augmentation(channels=1, image_size=28)

    c = AugmentationConfig()
    jitter = (c.brightness, c.contrast, c.saturation, c.hue)
    kernel = 13  # six of the widest standard deviation, 2 pixels
    batched = torch.nn.Sequential(
        kornia.augmentation.RandomResizedCrop((32, 32), scale=c.crop_scale, ratio=c.crop_aspect),
        kornia.augmentation.RandomHorizontalFlip(p=c.flip),
        kornia.augmentation.ColorJitter(*jitter, p=c.jitter),
        kornia.augmentation.RandomGrayscale(p=c.grayscale),
        kornia.augmentation.RandomGaussianBlur((kernel, kernel), c.blur_sigma, p=c.blur),
    )
    single = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=c.crop_scale, ratio=c.crop_aspect, antialias=False),
            v2.RandomHorizontalFlip(c.flip),
            v2.RandomApply([v2.ColorJitter(*jitter)], c.jitter),
            v2.RandomGrayscale(c.grayscale),
            v2.RandomApply([v2.GaussianBlur(kernel, c.blur_sigma)], c.blur),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )

    network = SmallConvNet(channels=1)
    views, _ = ours_gray(gray, generator=generator)

    def forward_backward() -> None:
        network.zero_grad()
        network(views).square().mean().backward()

    return {
        "aninfonce, 32×32 colour": lambda: ours_colour(colour, generator=generator),
        "kornia, 32×32 colour": lambda: batched(colour.float() / 255),
        "torchvision v2, 32×32 colour": lambda: torch.stack([single(image) for image in colour]),
        "aninfonce, 28×28 grey": lambda: ours_gray(gray, generator=generator),
        "SmallConvNet forward + backward, 28×28 grey": forward_backward,
    }


def measure(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Milliseconds an image, the minimum over rounds that go through all functions until the time is used up."""
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        function()
    end = time.perf_counter() + seconds * len(functions)
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, function in functions.items():
            start = time.process_time()
            function()
            best[name] = min(best[name], (time.process_time() - start) / BATCH * 1e3)
        rounds += 1
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="time for each contestant")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # kornia and torchvision draw from the global generator

    milliseconds = measure(contestants(), arguments.seconds)
    reference = milliseconds["aninfonce, 32×32 colour"]
    print(f"{'':45} ms an image   against ours (colour)")
    for name, value in milliseconds.items():
        ratio = f"{value / reference:8.1f}" if "colour" in name else ""
        print(f"{name:45} {value:11.4f}   {ratio}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "augmentation.json"
    result = {
        "batch": BATCH,
        "threads": 1,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "kornia": kornia.__version__,
        },
        "milliseconds_an_image": {name: round(value, 5) for name, value in milliseconds.items()},
    }
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
