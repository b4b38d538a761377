"""Measures of a representation: pure functions of arrays or tensors, one row a sample; plain numbers come out.

Whatever is fitted is scored on rows it was not fitted on: on a random half of them (drawn from `seed`, always the same
rows for the same number of rows) or on the test set that is passed in. The exceptions are `anisotropy`, which
estimates a parameter and its standard error, and `block_leakage`, which holds the fits on the two parts against each
other. Everything is computed in float64 on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.metrics._anisotropy import Anisotropy, Interval, anisotropy
    from aninfonce.metrics._assumptions import Stationarity, bingham_test, rayleigh_test, stationarity_test
    from aninfonce.metrics._blocks import BlockStructure, block_leakage
    from aninfonce.metrics._collapse import alignment, effective_rank, hit_at_k, uniformity
    from aninfonce.metrics._disentanglement import DCI, dci
    from aninfonce.metrics._energy import conditional_shape_test, energy_test, symmetry_test
    from aninfonce.metrics._identifiability import Matching, linear_r2, match_dimensions, mean_correlation
    from aninfonce.metrics._kernel import kernel_r2
    from aninfonce.metrics._readout import readout
    from aninfonce.metrics._specification import TestResult

lazily(
    __name__,
    {
        "_anisotropy": ["Anisotropy", "Interval", "anisotropy"],
        "_assumptions": ["Stationarity", "bingham_test", "rayleigh_test", "stationarity_test"],
        "_blocks": ["BlockStructure", "block_leakage"],
        "_collapse": ["alignment", "effective_rank", "hit_at_k", "uniformity"],
        "_disentanglement": ["DCI", "dci"],
        "_energy": ["conditional_shape_test", "energy_test", "symmetry_test"],
        "_identifiability": ["Matching", "linear_r2", "match_dimensions", "mean_correlation"],
        "_kernel": ["kernel_r2"],
        "_readout": ["readout"],
        "_specification": ["TestResult"],
    },
)

__all__ = [
    "DCI",
    "Anisotropy",
    "BlockStructure",
    "Interval",
    "Matching",
    "Stationarity",
    "TestResult",
    "alignment",
    "anisotropy",
    "bingham_test",
    "block_leakage",
    "conditional_shape_test",
    "dci",
    "effective_rank",
    "energy_test",
    "hit_at_k",
    "kernel_r2",
    "linear_r2",
    "match_dimensions",
    "mean_correlation",
    "rayleigh_test",
    "readout",
    "stationarity_test",
    "symmetry_test",
    "uniformity",
]
