"""What a linear model can read from features: categories by logistic regression, numbers by ridge regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aninfonce._typing import ArrayLike
from aninfonce.metrics._arrays import Halves, as_matrix, as_targets, constant_columns, halves

__all__ = ["readout"]


def readout(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    test_features: ArrayLike | None = None,
    test_targets: ArrayLike | None = None,
    balanced: bool = False,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float:
    """Accuracy (categories) or R² (numbers) of a linear model fitted on training rows, scored on test rows.

    The features are standardised by the training rows. Categories are read by multinomial logistic regression with an
    L2 penalty (C = 1), numbers by ridge regression whose strength is chosen for each target by leave-one-out errors
    on the training rows.

    Rows that belong together, as two views of one image, must not stand on both sides: pass a test set then.

    Arguments:
        features: shape (rows, dim).
        targets: shape (rows,), booleans, integers or strings: categories. Floating-point, shape (rows,) or
            (rows, columns): numbers. So class labels must not be floating-point, nor numbers integers.
        test_features, test_targets: rows to score on; the model is then fitted on all rows of `features`.
        balanced: for categories: the mean of the accuracies within each class of the test rows, with classes weighted
            equally in the fit. 1/2 is chance for a yes/no target then, however rare yes is.
        test_fraction: share of the rows to score on if no test set is given, in (0, 1).
        seed: the seed of the random split.

    Returns:
        Accuracy in [0, 1]; a class that the training rows lack counts as wrong. For numbers R² in (-∞, 1], about 0 for
        features that say nothing, the mean over the columns.

    Raises:
        TypeError: if the features are not an array or tensor of real numbers, or the targets not one of the kinds
            above, or `test_targets` of another kind than `targets` (booleans are not integers here).
        ValueError: if shapes do not fit together, a number is not finite, there are too few rows to split, the
            training rows hold a single class or more than half as many classes as rows, a numeric target is constant
            in the rows to fit or to score on, or `balanced` is asked of numbers.

    References:
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143: the linear
        readout of classes and of augmentation parameters.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> x = np.random.default_rng(0).normal(size=(400, 3))
        >>> print(round(metrics.readout(x, x @ [1.0, 2.0, 0.0]), 3))
        1.0
        >>> print(metrics.readout(x, x[:, 0] > 0) > 0.95)
        True
    """
    values = as_targets("targets", targets)
    test_values = None if test_targets is None else as_targets("test_targets", test_targets)
    if test_values is not None and _kind(values) != _kind(test_values):
        raise TypeError(
            f"targets and test_targets must be of one kind, got {_kind(values)} and {_kind(test_values)} "
            f"(dtypes {values.dtype} and {test_values.dtype})"
        )
    split = halves(
        ("features", "targets"),
        as_matrix("features", features),
        values,
        None if test_features is None else as_matrix("test_features", test_features),
        test_values,
        test_fraction=test_fraction,
        seed=seed,
    )
    if _kind(values) != "numbers":
        return _read_categories(split, balanced)
    if balanced:
        raise ValueError("balanced=True needs categories (bool, int or str targets), got floating-point targets")
    return _read_numbers(split)


def _kind(values: npt.NDArray[Any]) -> str:
    return {"f": "numbers", "U": "strings", "b": "booleans"}.get(values.dtype.kind, "integers")


def _read_categories(split: Halves, balanced: bool) -> float:
    classes = np.unique(split.train_y)
    if len(classes) < 2:
        raise ValueError(f"at least 2 classes are needed in the training rows, got only {classes[0]!s}")
    if len(classes) > len(split.train_y) / 2:
        raise ValueError(
            f"too many classes ({len(classes)}) for {len(split.train_y)} training rows; if the targets are numbers and "
            "not categories, pass them as floating-point"
        )
    # The penalty keeps the optimum finite on separable data, where the iterations would not end otherwise.
    classifier = LogisticRegression(C=1.0, max_iter=10_000, class_weight="balanced" if balanced else None)
    model = make_pipeline(StandardScaler(), classifier).fit(split.train_x, split.train_y)
    right = model.predict(split.test_x) == split.test_y
    if not balanced:
        return float(right.mean())
    return float(np.mean([right[split.test_y == label].mean() for label in np.unique(split.test_y)]))


def _read_numbers(split: Halves) -> float:
    for part, where in ((split.train_y, "training"), (split.test_y, "test")):
        constant = np.flatnonzero(constant_columns(part))
        if len(constant):
            raise ValueError(
                f"every numeric target must vary, got constant columns {constant.tolist()} in the {where} rows"
            )
    # The squared singular values of standardised features grow with the rows, and so must the strengths.
    strengths = len(split.train_x) * np.logspace(-7, 1, 17)
    ridge = RidgeCV(alphas=strengths, alpha_per_target=True)  # without `cv`: leave-one-out in closed form
    model = make_pipeline(StandardScaler(), ridge).fit(split.train_x, split.train_y)
    return float(r2_score(split.test_y, model.predict(split.test_x)))
