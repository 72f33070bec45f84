"""Singular values, condition numbers and numerical ranks of many matrices at once; no networks, no Lightning.

The mathematics is in five places: `unfold` makes matrices of tensors, `gram` their products, `singular_values` has the
fast and the exact path, `conditioning` holds the infinity rule, `operators` takes convolutions as maps of images.
`sharing` deals work to threads, and to ranks.
"""

from repro.spectra.conditioning import Conditioning, conditioning, cost, default_tolerance
from repro.spectra.modes import hosvd_singular_values, mode_conditioning, mode_conditionings
from repro.spectra.operators import Convolution, operator_conditionings, operator_singular_values
from repro.spectra.unfold import unfold

__all__ = [
    "Conditioning",
    "Convolution",
    "conditioning",
    "cost",
    "default_tolerance",
    "hosvd_singular_values",
    "mode_conditioning",
    "mode_conditionings",
    "operator_conditionings",
    "operator_singular_values",
    "unfold",
]
