"""Measures of a representation: pure functions of arrays or tensors, one row a sample; plain numbers come out.

Whatever is fitted is scored on rows it was not fitted on: on a random half of them (drawn from `seed`, always the same
rows for the same number of rows) or on the test set that is passed in. Everything is computed in float64 on the CPU.
"""

from aninfonce.metrics._collapse import alignment, effective_rank, hit_at_k, uniformity
from aninfonce.metrics._identifiability import Matching, linear_r2, match_dimensions, mean_correlation
from aninfonce.metrics._readout import readout

__all__ = [
    "Matching",
    "alignment",
    "effective_rank",
    "hit_at_k",
    "linear_r2",
    "match_dimensions",
    "mean_correlation",
    "readout",
    "uniformity",
]
