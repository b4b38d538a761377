"""What all laws of this package share beyond `torch.distributions`: expansion, their text, who checks the arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from inspect import getattr_static
from typing import ClassVar, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import lazy_property
from torch.types import _size

__all__ = ["LARGEST_CONCENTRATION", "ONE_SAMPLE", "Law", "among_finite_rows", "positive_vector"]

ONE_SAMPLE = torch.Size()  # the default of every sample_shape
LARGEST_CONCENTRATION = 1e13  # beyond it log densities lose their last digits in float64, and rejection does not end
positive_vector: constraints.Constraint = constraints.independent(  # type: ignore[no-untyped-call]
    constraints.positive, 1
)

AnyLaw = TypeVar("AnyLaw", bound="Law")


class Law(Distribution):
    """A distribution of vectors, of event shape (dim,).

    The constructors check types, shapes and values themselves, in words that name what was expected; torch's generic
    check of `arg_constraints` would only repeat the passes over the data, so it is skipped.

    Class attributes of a subclass:
        _batched: attribute that has the batch shape -> the number of dimensions that follow it.
        _settings: attributes that `repr` shows besides the parameters.
    """

    _batched: ClassVar[dict[str, int]] = {}
    _settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, batch_shape: torch.Size, dim: int, validate_args: bool) -> None:
        super().__init__(batch_shape, torch.Size([dim]), validate_args=False)
        self._validate_args = validate_args

    def expand(self: AnyLaw, batch_shape: _size, _instance: AnyLaw | None = None) -> AnyLaw:
        """Return the same distribution with a larger batch shape, without copying.

        It is of the same class, subclasses included, with all attributes that the object has.

        Arguments:
            batch_shape: that the present one broadcasts to.
            _instance: for subclasses with an `expand` of their own, as in torch: the object to fill in.

        Raises:
            RuntimeError: if the present batch shape does not broadcast to it.
        """
        shape = torch.empty(self._batch_shape, device="meta").expand(tuple(batch_shape)).shape
        new = copy.copy(self) if _instance is None else _instance
        for name, value in vars(self).items():
            vars(new).setdefault(name, value)
        for name in list(vars(new)):  # what was computed once and kept has the old shape
            if isinstance(getattr_static(type(new), name, None), lazy_property | cached_property):
                del vars(new)[name]
        for name, trailing in self._batched.items():
            value = getattr(self, name)
            setattr(new, name, value.expand((*shape, *value.shape[value.ndim - trailing :])))
        new._batch_shape = shape
        return new

    def __repr__(self) -> str:
        parts = []
        for name in (*self.arg_constraints, *self._settings):
            value = getattr(self, name)
            many = isinstance(value, Tensor) and value.numel() > 1
            parts.append(f"{name}: {tuple(value.shape) if many else value}")
        return f"{type(self).__name__}({', '.join(parts)})"


def among_finite_rows(
    draw: Callable[[Tensor, Tensor, int], Tensor], loc: Tensor, concentration: Tensor, repeats: int
) -> Tensor:
    """Samples of the rows whose parameters can be drawn with, NaN for the others: rejection would try them for ever.

    Only laws that do not check their arguments have such rows: NaN, infinity, or a concentration that is too large.

    Arguments:
        draw: (loc, concentration, repeats) to samples of shape (repeats · rows, dim), all rows once, then again, …
        loc: shape (rows, dim).
        concentration: one row for all or one each, shape (rows or 1, …).
        repeats: samples of every row.

    Returns:
        Samples of shape (repeats · rows, dim).
    """
    usable = concentration.abs() <= LARGEST_CONCENTRATION
    finite = loc.isfinite().all(1) & (usable.all(1) if usable.ndim > 1 else usable)
    if bool(finite.all()):
        return draw(loc, concentration, repeats)
    rows, dim = loc.shape
    samples = loc.new_full((repeats, rows, dim), torch.nan)
    if bool(finite.any()):
        own = concentration[finite] if len(concentration) == rows else concentration
        samples[:, finite] = draw(loc[finite], own, repeats).reshape(repeats, -1, dim)
    return samples.flatten(0, 1)
