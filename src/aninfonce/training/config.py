"""The settings of a training run on images, checked before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aninfonce._checks import OneOf, check_field_types, nearest_name
from aninfonce.data.background import background_colour

__all__ = ["OBJECTIVES", "TrainConfig"]

OBJECTIVES = ("infonce", "aninfonce")
PRECISIONS = ("32", "64", "bf16-mixed", "16-mixed")
STRATEGIES = ("ddp", "fsdp")
OPTIMIZERS = ("adamw", "sgd", "lars")
NEGATIVES = ("positives", "anchors", "both")
RATE_RULES = ("constant", "linear", "sqrt")
LOGGERS = ("tensorboard", "wandb")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, and how it is measured.

    Attributes:
        data: the images: digits (embedded), fashion-mnist, mnist, cifar10, cifar100, stl10, imagenet, imagenet:N (the
            first N classes), folder:PATH (images, or class folders of images, loaded into memory), files:PATH (the
            same, decoded on demand), shards:PATH (WebDataset's tar files), or hf:NAME (Hugging Face: from the hub, or a
            path).
        data_root: folder that holds the data set; without it, torchvision downloads to a cache (except ImageNet).
        decode_workers: processes that decode images on demand (imagenet, files, shards, hf); 0 means that the training
            process does it.
        max_corrupt: share of the images, in [0, 1], that may be unreadable. They are named and skipped; with more of
            them, the run stops.
        background: colour behind transparent images: the name of a CSS colour, #rrggbb, or a grey from 0 to 255.
        limit: train on this many images only (a random subset, the same for every objective with the same seed).
            Of files, shards, hf and imagenet only these and the scored images are decoded; folder:PATH decodes all of
            them first.
        image_size: side of the images in pixels, to which they are resized; by default the data set's own, 32 for
            folder:PATH, and 224 for files, shards and hf.
        augmentations: preset of augmentations (simclr, simclr-cifar10, simclr-imagenet, weak, crop-flip).
        objective: infonce or aninfonce.
        temperature: InfoNCE's temperature.
        trainable_temperature: train InfoNCE's temperature from its initial value, as AnInfoNCE trains its
            concentration. A fair comparison of the two needs this.
        concentration: initial value of every entry of AnInfoNCE's concentration.
        concentration_rate: peak learning rate of the concentration, or of a trainable temperature, whatever the batch
            size.
        negatives_from: which other samples of the batch are the negatives: those of the other view (positives), those
            of the anchor's own view (anchors), or both, as in SimCLR.
        backbone: small, a torchvision model (resnet18), or timm:NAME.
        projector_dim: dimensions of the embedding that the objective sees.
        projector_hidden: width of the projector's hidden layers.
        projector_layers: number of linear layers of the projector: 1 is a linear map. With 0 there is no projector: the
            objective sees the backbone's features, and `projector_dim` is not used.
        pretrained: file with initial weights for the backbone: .safetensors, or another library's .pt, .pth or .ckpt
            (see `aninfonce.models.load_pretrained`).
        epochs: passes over the training images.
        batch_size: images in a step, over all processes; each gives two views.
        optimizer: adamw, sgd, or lars (SGD whose steps are proportional to the weights of each layer; You et al. 2017).
        momentum: momentum of sgd and lars, in [0, 1).
        rate: peak learning rate, before `rate_rule` is applied.
        rate_rule: how the learning rate follows the batch size: constant (not at all), linear (× batch / 256), or sqrt
            (× √batch).
        warmup_epochs: epochs over which the learning rate rises before it falls along a cosine; by default a tenth of
            all epochs.
        weight_decay: decay of weight matrices and filters only; it is decoupled from the gradient in adamw, and an L2
            penalty in sgd and lars.
        validation: share of the training images to hold out for choosing settings. The readouts are then scored on
            them, and the test images stay unseen.
        readout_images: the largest number of training images that the readouts are fitted on.
        class_images: the largest number of training images that the readout of classes is fitted on; by default the
            same as for the other readouts.
        test_images: the largest number of images that all readouts are scored on; by default all that are held out.
        loggers: where the numbers of the log go besides log.jsonl: tensorboard, wandb (with WANDB_MODE=offline, wandb
            needs no network).
        readout_every: read classes and augmentation parameters, on fewer images, every this many epochs and after the
            last; 0 means only when the training is over.
        checkpoint_minutes: write a checkpoint within an epoch when the last one is this old, besides the one at the end
            of every epoch; 0 means after every step.
        seed: seed of everything that is random.
        device: auto, cpu or cuda.
        precision: 32, bf16-mixed or 16-mixed, or 64 where exactness matters more than speed.
        devices: number of processes on each machine, one for each device; torchrun and SLURM set it themselves.
        nodes: number of machines; torchrun and SLURM set it themselves.
        strategy: how several processes share the network: with ddp each has all of it, with fsdp a part of every layer.
        accumulate: number of pieces in which each process computes its part of the batch, to save memory. Gradient and
            loss are those of the whole batch (cached gradients; Gao et al. 2021).
        sync_batch_norm: with several processes, normalise over the whole batch and not over each process's part.
        ema: decay of a moving average of the weights, in (0, 1); the average is then read out and saved. 0 means none.
        log_every: write a line to log.jsonl every this many steps, besides the one after every epoch.
    """

    data: str = "digits"
    data_root: Path | None = None
    decode_workers: int = 0
    max_corrupt: float = 0.01
    background: str = "white"
    limit: int | None = None
    image_size: int | None = None
    augmentations: str = "simclr"
    objective: Annotated[str, OneOf(OBJECTIVES)] = "infonce"
    temperature: float = 0.2
    trainable_temperature: bool = False
    concentration: float = 1.0
    concentration_rate: float = 0.2
    negatives_from: Annotated[str, OneOf(NEGATIVES)] = "both"
    backbone: str = "small"
    projector_dim: int = 64
    projector_hidden: int = 256
    projector_layers: int = 2
    pretrained: Path | None = None
    epochs: int = 40
    batch_size: int = 128
    optimizer: Annotated[str, OneOf(OPTIMIZERS)] = "adamw"
    momentum: float = 0.9
    rate: float = 2e-3
    rate_rule: Annotated[str, OneOf(RATE_RULES)] = "constant"
    warmup_epochs: float | None = None
    weight_decay: float = 1e-3
    validation: float = 0.0
    readout_images: int = 10_000
    class_images: int | None = None
    test_images: int | None = None
    loggers: tuple[Annotated[str, OneOf(LOGGERS)], ...] = ()
    readout_every: int = 0
    checkpoint_minutes: float = 10.0
    seed: int = 0
    device: Annotated[str, OneOf(DEVICES)] = "auto"
    precision: Annotated[str, OneOf(PRECISIONS)] = "32"
    devices: int = 1
    nodes: int = 1
    strategy: Annotated[str, OneOf(STRATEGIES)] = "ddp"
    accumulate: int = 1
    sync_batch_norm: bool = True
    ema: float = 0.0
    log_every: int = 50

    def __post_init__(self) -> None:
        check_field_types(self)
        nearest_name("objective", self.objective, OBJECTIVES)
        if self.trainable_temperature and self.objective != "infonce":
            raise ValueError(
                "trainable_temperature belongs to objective infonce; aninfonce always trains its concentration"
            )
        nearest_name("precision", self.precision, PRECISIONS)
        nearest_name("device", self.device, DEVICES)
        nearest_name("optimizer", self.optimizer, OPTIMIZERS)
        nearest_name("rate_rule", self.rate_rule, RATE_RULES)
        nearest_name("strategy", self.strategy, STRATEGIES)
        for name in ("devices", "nodes", "accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}")
        if self.strategy == "fsdp" and self.precision not in ("32", "bf16-mixed"):
            raise ValueError(f"strategy fsdp computes in precision 32 or bf16-mixed, not {self.precision}")
        if self.strategy == "fsdp" and self.optimizer == "lars":
            raise ValueError(
                "optimizer lars needs the norms of whole layers, of which strategy fsdp leaves each process a part"
            )
        for name in self.loggers:
            nearest_name("logger", name, LOGGERS)
        if self.readout_every < 0:
            raise ValueError(f"readout_every must be a number of epochs, 0 for never, got {self.readout_every}")
        nearest_name("negatives_from", self.negatives_from, NEGATIVES)
        for name in ("epochs", "projector_dim", "projector_hidden", "readout_images", "class_images", "test_images"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2⁶³ - 1, got {self.seed}")
        if not 0 <= self.projector_layers <= 100:  # a million of them would fill the memory one by one
            raise ValueError(f"projector_layers must be from 0 (no projector) to 100, got {self.projector_layers}")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (a single image has no negatives), got {self.batch_size}")
        if self.batch_size < self.devices * self.nodes * self.accumulate:
            raise ValueError(
                f"batch_size must be at least devices × nodes × accumulate = {self.devices} × {self.nodes} × "
                f"{self.accumulate}, got {self.batch_size}"
            )
        if self.limit is not None and self.limit < self.batch_size:
            raise ValueError(f"limit must be at least the batch size of {self.batch_size}, got {self.limit}")
        for name in ("temperature", "concentration", "concentration_rate", "rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.checkpoint_minutes >= 0:
            raise ValueError(f"checkpoint_minutes must not be negative, got {self.checkpoint_minutes}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")
        if self.decode_workers < 0:
            raise ValueError(f"decode_workers must be at least 0, got {self.decode_workers}")
        if not 0 <= self.max_corrupt <= 1:
            raise ValueError(f"max_corrupt must be a share in [0, 1], got {self.max_corrupt}")
        background_colour(self.background)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.warmup_epochs is not None and not 0 <= self.warmup_epochs <= self.epochs:
            raise ValueError(
                f"warmup_epochs must be between 0 and the {self.epochs} epochs of the run, got {self.warmup_epochs}"
            )
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be a share in [0, 1), got {self.validation}")

    @property
    def peak_rate(self) -> float:
        """The peak learning rate of the network's weights: `rate`, made to follow the batch size by `rate_rule`.

        References:
            Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020: 0.3 × batch
            / 256 (section 2.2), 0.075 × √batch (appendix B.1).
        """
        factors = {"constant": 1.0, "linear": self.batch_size / 256, "sqrt": math.sqrt(self.batch_size)}
        return self.rate * factors[self.rate_rule]

    @property
    def warmup(self) -> float:
        """The share of the steps over which the learning rate rises."""
        return 0.1 if self.warmup_epochs is None else self.warmup_epochs / self.epochs

    @property
    def method(self) -> str:
        """The objective with what sets it apart, as in tables: `infonce-tau-0.2`, `infonce-trainable`, `aninfonce`."""
        if self.objective == "aninfonce":
            return "aninfonce"
        return "infonce-trainable" if self.trainable_temperature else f"infonce-tau-{self.temperature:g}"
