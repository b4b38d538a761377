"""Shape annotations (`Float[Tensor, "batch dim"]`) for the private functions.

They are jaxtyping's where it is installed (the `dev` extra: the test suite then checks every shape at run time, with
beartype) and mean nothing otherwise, so that the core does not depend on it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from torch import Tensor

from aninfonce._arrays import FloatArray

__all__ = ["ArrayLike", "Bool", "Float", "FloatArray", "Int"]

if TYPE_CHECKING or find_spec("jaxtyping") is not None:
    from jaxtyping import Bool, Float, Int
else:

    class _Unchecked:
        def __class_getitem__(cls, item: Any) -> Any:
            return Any

    Bool = Float = Int = _Unchecked

ArrayLike = Tensor | npt.NDArray[Any]
