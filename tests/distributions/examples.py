"""An example or more of every law, for the checks that every law must pass; each is made in the dtype asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce.distributions import (
    AnisotropicSpherical,
    ApproximateAnisotropicSpherical,
    ContentStyleConditional,
    GeneralizedNormal,
    HypersphericalUniform,
    TruncatedGeneralizedNormal,
    UniformBox,
    VonMisesFisher,
)

Make = Callable[..., torch.distributions.Distribution]


@dataclass(frozen=True)
class Example:
    """A law of a dtype, with options of the constructor (`validate_args`); what it has not is named."""

    make: Make
    density: bool = True
    single_mode: bool = True
    batch: tuple[int, ...] = ()


def poles(*rows: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    x = torch.tensor(rows if len(rows) > 1 else rows[0], dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).to(dtype)


def some(*values: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype)


ONE, TWO = ((0.6, 0.0, 0.8),), ((0.6, 0.0, 0.8), (-1.0, 2.0, 0.5))
EXAMPLES: dict[str, Example] = {
    "HypersphericalUniform": Example(lambda dtype, **o: HypersphericalUniform(3, dtype=dtype, **o), single_mode=False),
    "HypersphericalUniform on the circle": Example(
        lambda dtype, **o: HypersphericalUniform(2, dtype=dtype, **o).expand((2,)), single_mode=False, batch=(2,)
    ),
    "VonMisesFisher of a number": Example(lambda dtype, **o: VonMisesFisher(poles(*ONE, dtype=dtype), 5.0, **o)),
    "VonMisesFisher in a batch": Example(
        lambda dtype, **o: VonMisesFisher(poles(*TWO, dtype=dtype), some(0.5, 20.0, dtype=dtype), **o), batch=(2,)
    ),
    "VonMisesFisher broadcast": Example(
        lambda dtype, **o: VonMisesFisher(poles(*TWO, dtype=dtype), some(1.0, 5.0, 9.0, dtype=dtype)[:, None], **o),
        batch=(3, 2),
    ),
    "AnisotropicSpherical": Example(
        lambda dtype, **o: AnisotropicSpherical(poles(*TWO, dtype=dtype), some(0.5, 2.0, 8.0, dtype=dtype), **o),
        batch=(2,),
    ),
    "AnisotropicSpherical of a number": Example(
        lambda dtype, **o: AnisotropicSpherical(poles(*ONE, dtype=dtype), 2.5, **o)
    ),
    "AnisotropicSpherical, a Λ each": Example(
        lambda dtype, **o: AnisotropicSpherical(
            poles(*TWO, dtype=dtype), some(0.5, 2.0, 8.0, 3.0, 1.0, 1.0, dtype=dtype).reshape(2, 3), **o
        ),
        batch=(2,),
    ),
    "AnisotropicSpherical, signed": Example(
        lambda dtype, **o: AnisotropicSpherical(
            poles(*TWO, dtype=dtype), some(0.5, -2.0, 4.0, dtype=dtype), signed=True, **o
        ),
        batch=(2,),
    ),
    "ApproximateAnisotropicSpherical": Example(
        lambda dtype, **o: ApproximateAnisotropicSpherical(
            poles(*TWO, dtype=dtype), some(2.0, 2.0, 8.0, dtype=dtype), **o
        ),
        density=False,
        batch=(2,),
    ),
    "UniformBox": Example(
        lambda dtype, **o: UniformBox(some(-1.0, 0.0, dtype=dtype), some(1.0, 0.5, dtype=dtype), **o), single_mode=False
    ),
    "UniformBox up to a number": Example(
        lambda dtype, **o: UniformBox(some(-1.0, 0.0, -2.0, 0.5, dtype=dtype).reshape(2, 2), 1.0, **o),
        single_mode=False,
        batch=(2,),
    ),
    "GeneralizedNormal, Laplace": Example(
        lambda dtype, **o: GeneralizedNormal(some(0.5, -1.0, dtype=dtype), 2.0, exponent=1.0, **o)
    ),
    "GeneralizedNormal, normal": Example(
        lambda dtype, **o: GeneralizedNormal(
            some(0.5, -1.0, 0.0, 0.0, dtype=dtype).reshape(2, 2), some(2.0, 0.5, dtype=dtype), exponent=2.0, **o
        ),
        batch=(2,),
    ),
    "GeneralizedNormal, p = 3.5": Example(
        lambda dtype, **o: GeneralizedNormal(some(0.5, -1.0, dtype=dtype), some(2.0, 0.5, dtype=dtype), 3.5, **o)
    ),
    **{
        f"TruncatedGeneralizedNormal, p = {p:g}": Example(
            lambda dtype, p=p, **o: TruncatedGeneralizedNormal(
                some(0.5, -1.0, 0.0, 0.2, dtype=dtype).reshape(2, 2), some(2.0, 0.5, dtype=dtype), p, -1.0, 1.5, **o
            ),
            batch=(2,),
        )
        for p in (1.0, 2.0, 3.5)
    },
    "ContentStyleConditional": Example(
        lambda dtype, **o: ContentStyleConditional(
            some(0.5, -0.5, 0.2, dtype=dtype),
            [2, 0],
            TruncatedGeneralizedNormal(some(0.2, 0.5, dtype=dtype), 3.0, 1.0, -1.0, 1.0, **o),
            **o,
        ),
    ),
    "ContentStyleConditional that stays at times": Example(
        lambda dtype, **o: ContentStyleConditional(
            some(0.5, -0.5, 0.2, 0.5, 0.5, 0.5, dtype=dtype).reshape(2, 3),
            [2, 0],
            UniformBox(some(-1.0, -1.0, dtype=dtype), some(0.0, 1.0, dtype=dtype), **o),
            0.5,
            **o,
        ),
        density=False,
        batch=(2,),
    ),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
