"""Batches of uint8 images out of memory: whole, or cropped and mirrored at random."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

PADDING = 4
"""Pixels around an image before a random crop of its size."""

Padding = Literal["zero", "reflect"]


class Whole:
    """Images as they are; their memory is used as it is where it is channels-last, else copied."""

    def __init__(self, images: UInt8[Tensor, "samples channels height width"]) -> None:
        self._images = images.permute(0, 2, 3, 1).contiguous()

    def __call__(self, chosen: Int[Tensor, " batch"]) -> UInt8[Tensor, "batch height width channels"]:
        """The chosen images."""
        return self._images.index_select(0, chosen)


class Crops:
    """Random crops of images padded with zeros or their mirror image (its outermost pixels left out), mirrored or not.

    The padded images are held in both orientations, so that each row of each crop is one run of bytes, whatever its
    offset and flip: 3.1 times the memory of the images at 32 × 32, and several times faster than a gather of pixels.
    """

    def __init__(self, images: UInt8[Tensor, "samples channels height width"], padding: Padding = "zero") -> None:
        samples, channels, self._height, self._width = images.shape
        self._sizes = samples, self._height + 2 * PADDING, self._width + 2 * PADDING
        both = images.new_zeros(2, *self._sizes, channels)
        padded = both[0]
        padded[:, PADDING:-PADDING, PADDING:-PADDING] = images.permute(0, 2, 3, 1)
        if padding == "reflect":
            for offset in range(PADDING):
                padded[:, offset] = padded[:, 2 * PADDING - offset]
                padded[:, -1 - offset] = padded[:, offset - 1 - 2 * PADDING]
            for offset in range(PADDING):
                padded[:, :, offset] = padded[:, :, 2 * PADDING - offset]
                padded[:, :, -1 - offset] = padded[:, :, offset - 1 - 2 * PADDING]
        both[1] = padded.flip(2)
        # Every run of bytes as long as a crop's row that starts at a pixel: these rows overlap.
        runs = both.numel() // channels - self._width + 1
        self._runs = both.as_strided((runs, self._width * channels), (channels, 1))
        self._rows = self._sizes[2] * torch.arange(self._height, device=images.device)

    def __call__(
        self, chosen: Int[Tensor, " batch"], offsets: Int[Tensor, "batch 2"], flips: Int[Tensor, " batch"]
    ) -> UInt8[Tensor, "batch height width channels"]:
        """Crop each chosen image at its own offset (row, column; 0 to 8), then mirror it where its flip is 1."""
        samples, rows, columns = self._sizes
        across = torch.where(flips == 1, 2 * PADDING - offsets[:, 1], offsets[:, 1])
        first = ((flips * samples + chosen) * rows + offsets[:, 0]) * columns + across
        starts = first[:, None] + self._rows
        return self._runs.index_select(0, starts.view(-1)).view(len(chosen), self._height, self._width, -1)
