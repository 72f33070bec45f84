"""The higher-order SVD's view of a tensor: singular values and conditioning of its unfolding along every mode."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from repro.errors import UserError
from repro.spectra.conditioning import Conditioning, assess
from repro.spectra.singular_values import singular_values


@torch.no_grad()
def hosvd_singular_values(tensor: Shaped[Tensor, "..."], *, block: int | None = None) -> list[Float[Tensor, " values"]]:
    """Compute the singular values of every mode-n unfolding of a tensor, as in the higher-order SVD.

    De Lathauwer, De Moor and Vandewalle, "A multilinear singular value decomposition" (2000); what Oyedotun means by
    singular values "of model tensors".

    Args:
        tensor: A real tensor.
        block: As for `conditioning`.

    Returns:
        For each dimension min(rows, columns) values of its unfolding, descending, in float64 on the CPU; NaN where the
        tensor has NaN or infinite entries. As accurate as `conditioning` says.

    Raises:
        UserError: The tensor is complex or has no dimension.

    Example:
        >>> [len(values) for values in hosvd_singular_values(torch.randn(4, 3, 5))]
        [4, 3, 5]
    """
    _check(tensor)
    by_mode = {
        mode: row
        for unfoldings, values in singular_values([tensor], modes=None, block=block)
        for unfolding, row in zip(unfoldings, values, strict=True)
        for mode in unfolding.modes
    }
    return [by_mode[mode] for mode in range(tensor.ndim)]


def mode_conditioning(
    tensor: Shaped[Tensor, "..."], *, tolerance: float | None = None, block: int | None = None, keep: bool = False
) -> Conditioning:
    """Compute the conditioning of every mode-n unfolding of one tensor, in the order of its dimensions.

    The result is that of `conditioning([unfold(tensor, mode) for mode in range(tensor.ndim)])`, with less memory: a
    large tensor is read block by block, so that only a few blocks are needed, and for one mode at a time a few square
    matrices of the mode's short side. The exact path reads the tensor a second time in the same way.

    Args:
        tensor: A real tensor, such as the weights of a convolution or a representation (images × channels × height ×
            width).
        tolerance: As for `conditioning`.
        block: As for `conditioning`.
        keep: Whether to keep all singular values in `Conditioning.values`.

    Raises:
        UserError: The tensor is complex or has no dimension.

    Example:
        >>> mode_conditioning(torch.diag(torch.tensor([4.0, 2.0, 1.0]))).condition_number
        tensor([4., 4.], dtype=torch.float64)
    """
    return mode_conditionings([tensor], tolerance=tolerance, block=block, keep=keep)[0]


def mode_conditionings(
    tensors: Sequence[Shaped[Tensor, "..."]],
    *,
    tolerance: float | None = None,
    block: int | None = None,
    keep: bool = False,
) -> list[Conditioning]:
    """`mode_conditioning` of many tensors; those of the same shape are computed together.

    Example:
        >>> one, other = mode_conditionings([torch.eye(3), torch.randn(8, 4, 3, 3)])
        >>> len(one.rank), len(other.rank)
        (2, 4)
    """
    for tensor in tensors:
        _check(tensor)
    together = assess(tensors, modes=None, tolerance=tolerance, block=block, keep=keep)
    return together.split([tensor.ndim for tensor in tensors])


def _check(tensor: Tensor) -> None:
    if tensor.ndim == 0 or tensor.is_complex():
        raise UserError(
            f"cannot unfold a {tensor.dtype} tensor of shape {tuple(tensor.shape)}; "
            "allowed: real tensors of at least 1 dimension"
        )
