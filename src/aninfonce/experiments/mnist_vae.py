"""Controlled images: the decoder of a VAE trained on MNIST is the generator g, and the latents are known.

Between the abstract mixing of the synthetic experiments and real photographs: the encoder sees images of digits, 784
pixels each, whose latents it has to recover. The theorem asks for an injective g; the decoder is built to be so, and
the check of how far it is from losing a latent is part of the result. arXiv 2407.00143 (its VAE on MNIST).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from aninfonce._checks import nearest_name
from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.decoding import DecodedRecoveryTask, DecoderTask
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.vae_fitting import VAERecipe

__all__ = ["MnistVAE"]

FILE = "decoder.safetensors"
DATA = ("mnist", "digits", "fashion-mnist")
COLUMNS = (
    *("r2_content", "r2_style", "mean_correlation", "concentration_error"),
    *("active_units", "smallest_singular_value", "separation", "inverse_error", "cpu_seconds"),
)

# Images of latents at distance 1 shall differ by at least a tenth of the step from black to white, in the norm
# over all pixels: far above the rounding of single precision (1e-6).
REFERENCES = (
    Reference("decoder/active_units", 1.0, source="aim", note="the VAE uses every latent"),
    Reference("decoder/smallest_singular_value", 0.1, relation=">=", source="aim", note="g loses no direction"),
    Reference("decoder/separation", 0.1, relation=">=", source="aim", note="g folds nowhere"),
    Reference("aninfonce/r2_content", 0.95, relation=">=", source="aim"),
    Reference("aninfonce/r2_style", 0.95, relation=">=", source="aim"),
    Reference("aninfonce/concentration_error", 0.0, 0.05, source="theory", note="Λ̂ = Λ with other anchors"),
)


@dataclass(frozen=True, kw_only=True)
class MnistVAE(Experiment):
    """The experiment's settings.

    Attributes:
        data: the images: "mnist", "fashion-mnist" or "digits" (part of scikit-learn, 16×16).
        data_root: folder with them, see `aninfonce.data.load_images`; None: torchvision downloads them.
        dim: number of latents, even, at least 4.
        content: Λ of the first half of them.
        style: Λ of the second half.
        radius: latents z of the unit sphere are decoded at radius · z; None: √dim, where the prior has its mass.
        widths: the widths of the decoder's hidden layers; each wider than the one before, fewer than the pixels.
        vae_steps: optimiser steps of the VAE.
        beta: weight of its KL term.
        components: principal components of the images that the encoder sees.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        steps: optimiser steps of every encoder on content and style.
        spectrum_steps: number of steps of the encoder on linearly spaced Λ, from `content` to `style`; with 0
            there is no such run.
    """

    name: ClassVar[str] = "mnist-vae"
    shows: ClassVar[str] = "controlled images: latents behind the digits that a VAE's decoder draws"
    core_seconds: ClassVar[tuple[float, float]] = (350.0, 30.0)

    seeds: int = 2
    data: str = "mnist"
    data_root: Path | None = None
    dim: int = 10
    content: float = 12.5
    style: float = 2.5
    radius: float | None = None
    widths: tuple[int, ...] = (96, 192)
    vae_steps: int = 2000
    beta: float = 1.0
    components: int = 40
    temperatures: tuple[float, ...] = (1.0, 0.2)
    steps: int = 900
    spectrum_steps: int = 1200

    def __post_init__(self) -> None:
        super().__post_init__()
        nearest_name("data", self.data, DATA)
        if self.dim < 4 or self.dim % 2:
            raise ValueError(f"dim must be even and at least 4, got {self.dim}")
        if self.radius is not None and not 0 < self.radius < math.inf:
            raise ValueError(f"radius must be positive and finite, or None, got {self.radius}")
        if self.components < self.dim:
            raise ValueError(f"components must be at least dim = {self.dim}, got {self.components}")
        if self.spectrum_steps < 0:
            raise ValueError(f"spectrum_steps must be at least 0, got {self.spectrum_steps}")

    def quick(self) -> MnistVAE:
        """One mixing, a shorter VAE, one temperature, no linear spectrum."""
        return replace(self, seeds=1, vae_steps=800, temperatures=(1.0,), steps=220, spectrum_steps=0)

    def study(self) -> Study:
        """The VAE to train first, the encoders to train on their images, and what they are held against."""
        radius = math.sqrt(self.dim) if self.radius is None else self.radius
        half = self.dim // 2
        groups = {"content": list(range(half)), "style": list(range(half, self.dim))}
        vae = VAERecipe(dim=self.dim, widths=self.widths, steps=self.vae_steps, beta=self.beta)
        bimodal = Mixing((self.content,) * half + (self.style,) * half)
        # Centred, all methods alike: without, a style latent may stay folded (see `Recipe.centring`).
        recipe = Recipe(steps=self.steps, width=128, batch_size=512, centring=5.0)

        def recover(mixing: Mixing, recipe: Recipe, ignored: int = 0) -> DecodedRecoveryTask:
            return DecodedRecoveryTask(FILE, mixing, radius, self.components, recipe, groups, ignored)

        objectives = contenders(recipe, self.temperatures)
        del objectives["aninfonce-other-positives"]  # the experiment on content and style compares the two
        tasks = {name: recover(bimodal, each) for name, each in objectives.items()}
        tasks["aninfonce-lost-latent"] = recover(bimodal, recipe, ignored=1)
        if self.spectrum_steps:
            spaced = torch.linspace(self.content, self.style, self.dim, dtype=torch.float64)
            # As in the experiment on a linear spectrum: the rotation finds the axes before Λ̂ settles.
            slow = replace(recipe, steps=self.spectrum_steps, initial_spread=2.2, rate_concentration=0.02)
            tasks["aninfonce-linear-spectrum"] = recover(Mixing(tuple(spaced.tolist())), slow)
        # The sphere leaves of the lost latent its size, not its sign: of its mean nothing is known.
        lost = Reference(
            "aninfonce-lost-latent/r2_style",
            (half - 1) / half,
            0.01,
            relation="<=",
            source="theory",
            note=f"one of {half} style latents does not reach the decoder",
        )
        return Study(
            name=self.name,
            title=self.shows,
            prepare={"decoder": DecoderTask(FILE, self.data, self.data_root, vae, radius)},
            tasks=tasks,
            seeds=self.all_seeds,
            references=(*REFERENCES, lost),
            columns=COLUMNS,
            facts={
                "true_concentration": list(bimodal.concentration),
                "true_spectrum": torch.linspace(self.content, self.style, self.dim).tolist(),
                "radius": radius,
            },
        )
