"""Singular values, condition numbers and numerical ranks of many matrices at once; no networks, no Lightning.

The mathematics is in four places: `unfold` makes matrices of tensors, `gram` their products, `singular_values` has the
fast and the exact path, `conditioning` holds the infinity rule. `sharing` deals work to threads, and to ranks.
"""

from repro.spectra.conditioning import Conditioning, conditioning, cost, default_tolerance
from repro.spectra.modes import hosvd_singular_values, mode_conditioning, mode_conditionings
from repro.spectra.unfold import unfold

__all__ = [
    "Conditioning",
    "conditioning",
    "cost",
    "default_tolerance",
    "hosvd_singular_values",
    "mode_conditioning",
    "mode_conditionings",
    "unfold",
]
