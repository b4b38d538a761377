"""Who competes in `training.py`: our loop, lightly's SimCLR example and solo-learn's recipe, on the same images."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image, ImageFilter, ImageOps
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from _losses_contenders import Loss, solo_learn
from aninfonce.data import PRESETS, load_images
from aninfonce.models import Projector, SmallConvNet
from aninfonce.training import TrainConfig, fit
from aninfonce.training.memory import keep_freed_memory

TEMPERATURE = 0.2
HIDDEN, DIM = 256, 64  # of the projector

Result = TypeVar("Result")


@dataclass(frozen=True)
class Task:
    """What all contenders train on, and how strongly they augment: `preset` names one of ours."""

    name: str
    images: Tensor
    preset: str
    batch: int

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> int:
        return self.images.shape[2]


@dataclass(frozen=True)
class Reading:
    """How long a run took after its first step, which warms up caches and allocator."""

    images: int
    seconds: float
    cpu_seconds: float  # of this process, without its workers


class Clock:
    """Runs from the end of a run's first step to the end of the run."""

    def __init__(self, on_first_step: Callable[[], None] | None = None) -> None:
        self.steps = 0
        self.on_first_step = on_first_step

    def step(self, *_: object) -> None:
        self.steps += 1
        if self.steps == 1:
            if self.on_first_step is not None:
                self.on_first_step()
            self.start = time.perf_counter(), time.process_time()

    def reading(self, batch: int) -> Reading:
        if self.steps < 2:
            raise ValueError(f"a reading needs at least 2 steps, got {self.steps}")
        wall, cpu = self.start
        return Reading((self.steps - 1) * batch, time.perf_counter() - wall, time.process_time() - cpu)


def fashion_images(data_root: Path | None, n: int) -> tuple[Tensor, str]:
    """n grey images of 28×28, and what they are."""
    if data_root is None:
        generated = torch.randint(256, (n, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        return generated, "generated 28×28 grey images (no --data-root: Fashion-MNIST is not there)"
    return load_images("fashion-mnist", data_root).train.in_memory[:n], "Fashion-MNIST, 28×28 grey"


def colour_images(n: int) -> tuple[Tensor, str]:
    """n colour patches of 32×32 from scikit-learn's two photographs, and what they are."""
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.tensor(picture).permute(2, 0, 1) for picture in load_sample_images().images]
    places = torch.rand(n, 2, generator=generator).tolist()
    patches = []
    for i, (across, down) in enumerate(places):
        picture = pictures[i % len(pictures)]
        y, x = (int(p * (side - 32)) for p, side in zip((down, across), picture.shape[1:], strict=True))
        patches.append(picture[:, y : y + 32, x : x + 32])
    return torch.stack(patches), "patches of photographs, 32×32 colour"


def ours(task: Task, on_first_step: Callable[[], None] | None = None) -> Reading:
    """`aninfonce.training.fit` as `aninfonce train` calls it: one epoch, with its metrics, log and checkpoint."""
    config = TrainConfig(
        augmentations=task.preset,
        temperature=TEMPERATURE,
        projector_hidden=HIDDEN,
        projector_dim=DIM,
        epochs=1,
        batch_size=task.batch,
        device="cpu",
    )
    keep_freed_memory()  # as the command does: for this process, see `in_a_process`
    clock = Clock(on_first_step)
    with tempfile.TemporaryDirectory() as folder:
        fit(config, task.images, Path(folder), on_step=clock.step)
        return clock.reading(task.batch)


class Pictures(Dataset[tuple[int, list[Tensor], int]]):
    """As torchvision's CIFAR10 and FashionMNIST: a PIL image of the array, transformed when it is asked for."""

    def __init__(self, images: Tensor, transform: Callable[[Image.Image], list[Tensor]]) -> None:
        self.arrays = images.permute(0, 2, 3, 1).squeeze(3).contiguous().numpy()  # (n, height, width) if grey
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[int, list[Tensor], int]:
        return index, self.transform(Image.fromarray(self.arrays[index])), 0


def _network(task: Task) -> nn.Module:
    """The same backbone and projector as ours; the pictures come normalised."""
    backbone = SmallConvNet(task.channels)
    return nn.Sequential(backbone, Projector(backbone.feature_dim, HIDDEN, DIM))


def _statistics(task: Task) -> dict[str, list[float]]:
    pixels = task.images.float() / 255
    return {"mean": pixels.mean((0, 2, 3)).tolist(), "std": pixels.std((0, 2, 3)).tolist()}


def lightly(task: Task, workers: int = 0) -> Reading:
    """The loop of lightly's `examples/pytorch/simclr.py`: DataLoader, SimCLRTransform on PIL, NTXentLoss, SGD."""
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform

    c = PRESETS[task.preset]
    transform = SimCLRTransform(
        input_size=task.size,
        cj_prob=c.jitter,
        cj_strength=1.0,
        cj_bright=c.brightness,
        cj_contrast=c.contrast,
        cj_sat=c.saturation,
        cj_hue=c.hue,
        min_scale=c.crop_scale[0],
        random_gray_scale=c.grayscale,
        gaussian_blur=c.blur,
        sigmas=c.blur_sigma,
        hf_prob=c.flip,
        normalize=_statistics(task),
    )
    return _train(task, workers, transform, NTXentLoss(TEMPERATURE), torch.optim.SGD, lr=0.06)


class PillowBlur:
    """solo-learn's blur: Pillow's, of a width drawn for every image."""

    def __init__(self, sigma: tuple[float, float]) -> None:
        self.sigma = sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def solo_learn_recipe(task: Task, workers: int = 0) -> Reading:
    """solo-learn's SimCLR on CIFAR: its pipeline and its loss, without what would only slow it down.

    Left out are the online classifier, LARS around SGD, and Lightning's Trainer.
    """
    loss = solo_learn(TEMPERATURE)
    c = PRESETS[task.preset]
    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                task.size, scale=c.crop_scale, interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomApply([transforms.ColorJitter(c.brightness, c.contrast, c.saturation, c.hue)], p=c.jitter),
            transforms.RandomGrayscale(p=c.grayscale),
            transforms.RandomApply([PillowBlur(c.blur_sigma)], p=c.blur),
            transforms.RandomApply([transforms.Lambda(ImageOps.solarize)], p=0.0),
            transforms.RandomHorizontalFlip(p=c.flip),
            transforms.ToTensor(),
            transforms.Normalize(**_statistics(task)),
        ]
    )
    sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-4)
    return _train(task, workers, lambda picture: [view(picture) for _ in range(2)], loss, sgd, lr=0.4)


def _train(
    task: Task,
    workers: int,
    transform: Callable[[Image.Image], list[Tensor]],
    criterion: Loss,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    lr: float,
) -> Reading:
    """The loop that both libraries document: each view through the network on its own."""
    loader = DataLoader(Pictures(task.images, transform), task.batch, shuffle=True, drop_last=True, num_workers=workers)
    network = _network(task)
    optimizer = make_optimizer(network.parameters(), lr=lr)
    clock = Clock()
    total = torch.zeros(())
    for _, (x0, x1), _ in loader:
        z0, z1 = network(x0), network(x1)
        loss = criterion(z0, z1)
        total += loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        clock.step()
    return clock.reading(task.batch)


def in_a_process(run: Callable[[], Result]) -> Result:
    """The result of a run in a process of its own: no contender inherits another's caches, threads or allocator.

    Raises:
        RuntimeError: if the process ends without a result.
    """
    fork = multiprocessing.get_context("fork")  # the children share the imports, which take seconds
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sender.send(run()))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        child.join()
        raise RuntimeError(f"a run ended with exit code {child.exitcode}: its error is above") from error
    finally:
        child.join()


OURS = "aninfonce"
PEERS: dict[str, Callable[[Task, int], Reading]] = {"lightly": lightly, "solo-learn": solo_learn_recipe}


def why_absent(name: str, task: Task) -> str | None:
    """Why a peer cannot take part, or None: two steps of two images are tried."""
    trial = Task(task.name, task.images[:4], task.preset, 2)
    try:
        PEERS[name](trial, 0)
    except ImportError as error:
        return f"not installed: {error}"
    return None
