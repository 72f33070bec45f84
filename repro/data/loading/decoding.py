"""Batches of images that are decoded as they are needed: by worker processes, as uint8, normalised on the device.

An epoch's order and each image's crop and flip are functions of (seed, epoch, place in the order) alone: not of the
number of workers, of ranks, or of where the run was stopped.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional as F

from repro.data.loading.batches import Batches, generator
from repro.data.loading.image_file import open_rgb
from repro.data.loading.worker_watch import how_they_ended, listen
from repro.data.loading.workers import PREFETCH, begin_worker, usable_workers, worker_context
from repro.errors import UserError

try:  # deprecated since torchvision 0.29, but much faster than Pillow; without it all goes through Pillow
    from torchvision.io import decode_jpeg
except ImportError:
    decode_jpeg = None

AREA = (0.08, 1.0)
"""Share of the image's area that a random crop has."""
RATIO = (3 / 4, 4 / 3)
"""Width by height of a random crop."""
_LOG_RATIO = torch.log(torch.tensor(RATIO)).tolist()
_ATTEMPTS = 10
_CROP = 2  # stream of `generator`; 0 and 1 are order and augmentation of small images


def decode(path: Path, *, turned: bool = False) -> UInt8[Tensor, "3 height width"]:
    """An image file as RGB, as it is stored, or (`turned`) as its EXIF data say that it is to be shown.

    JPEGs go through torchvision, which is faster than Pillow and gives the same pixels; what it does not take (CMYK,
    other formats, JPEGs that it finds damaged) through Pillow. `UserError` names a file that is missing, damaged or no
    image.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except (OSError, MemoryError):  # Pillow says what is wrong
        content = np.empty(0, np.uint8)
    if decode_jpeg is not None and content[:2].tobytes() == b"\xff\xd8":
        try:
            image: Tensor = decode_jpeg(torch.from_numpy(content), apply_exif_orientation=turned)
        except RuntimeError:
            pass  # Pillow says what is wrong
        else:
            if len(image) in (1, 3):
                return image.expand(3, -1, -1)
    return torch.from_numpy(np.array(open_rgb(path, turned=turned))).permute(2, 0, 1)


def random_crop(height: int, width: int, source: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop of random area and shape: torchvision's RandomResizedCrop, same draws."""
    for _ in range(_ATTEMPTS):
        area = height * width * torch.empty(1).uniform_(*AREA, generator=source).item()
        ratio = torch.exp(torch.empty(1).uniform_(*_LOG_RATIO, generator=source)).item()
        columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < columns <= width and 0 < rows <= height:
            top = int(torch.randint(0, height - rows + 1, (1,), generator=source))
            return top, int(torch.randint(0, width - columns + 1, (1,), generator=source)), rows, columns
    columns, rows = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def training_view(
    image: UInt8[Tensor, "3 height width"], size: int, source: torch.Generator
) -> UInt8[Tensor, "3 size size"]:
    """A random crop, resized to a square, mirrored every other time."""
    top, left, rows, columns = random_crop(image.shape[1], image.shape[2], source)
    view: Tensor = F.resized_crop(image, top, left, rows, columns, [size, size], antialias=True)
    mirrored = torch.rand(1, generator=source).item() < 0.5
    return F.horizontal_flip(view) if mirrored else view


def evaluation_view(image: UInt8[Tensor, "3 height width"], size: int, resize: int) -> UInt8[Tensor, "3 size size"]:
    """The centre of an image, its shorter side resized first."""
    view: Tensor = F.center_crop(F.resize(image, [resize], antialias=True), [size, size])
    return view


class Request(NamedTuple):
    """A batch to decode."""

    chosen: npt.NDArray[np.int64]
    """Indices of the images."""
    epoch: int
    first: int
    """Position of the first image in the epoch's order."""


class Files(NamedTuple):
    """Image files and their labels, compact enough for a million."""

    folder: str
    names: npt.NDArray[np.bytes_]
    """Paths below the folder, in UTF-8."""
    labels: npt.NDArray[np.int64]

    def take(self, indices: npt.NDArray[np.intp]) -> Files:
        """Some of the files, in the order of `indices`."""
        return self._replace(names=self.names[indices], labels=self.labels[indices])


class Decoder(Dataset[Any]):
    """Turns a request into pixels (batch, height, width, 3) and labels, or into the text of what is wrong with a file.

    Images are squares of side `size`, at random with a seed, else the centre, after the shorter side became `resize`.
    """

    def __init__(self, files: Files, *, size: int, resize: int, seed: int | None, turned: bool = False) -> None:
        self.size, self.resize, self.seed, self.turned = size, resize, seed, turned
        self._folder = files.folder
        # Tensors go to workers as shared memory, arrays as copies.
        self._names = torch.from_numpy(files.names.view(np.uint8).reshape(-1, files.names.itemsize))
        self._labels = torch.from_numpy(files.labels)

    def path(self, index: int) -> Path:
        """Path of an image's file."""
        name = self._names[index].numpy().tobytes().rstrip(b"\0")
        return Path(self._folder, name.decode("utf-8", "surrogateescape"))

    def __getitem__(self, request: Request) -> tuple[Tensor, Tensor] | str:
        """Decode a batch."""
        pixels = torch.empty(len(request.chosen), self.size, self.size, 3, dtype=torch.uint8)
        for number, index in enumerate(request.chosen.tolist()):
            try:
                image = decode(self.path(index), turned=self.turned)
            except UserError as error:
                return str(error)  # an exception would arrive as the worker's traceback
            if self.seed is None:
                view = evaluation_view(image, self.size, self.resize)
            else:
                source = generator(self.seed, request.epoch, _CROP, request.first + number)
                view = training_view(image, self.size, source)
            pixels[number] = view.permute(1, 2, 0)
        return pixels, self._labels[torch.from_numpy(request.chosen)]


class _Requests(Sampler[Request]):
    """The requests of the pass that begins."""

    def __init__(self) -> None:
        self.waiting: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.waiting)

    def __len__(self) -> int:
        return len(self.waiting)


_OPEN: WeakSet[DecodedBatches] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Python ends what is left of its processes by a signal that these ignore, and would wait for ever."""
    for batches in list(_OPEN):
        batches.close()


class DecodedBatches(Batches):
    """Batches of image files, as `Decoder` makes them; further options are those of `Batches`.

    Each of a machine's `local_ranks` has as many `workers`, processes that decode; with 0 it decodes itself.
    """

    def __init__(
        self,
        files: Files,
        *,
        device: torch.device,
        size: int,
        resize: int,
        workers: int,
        local_ranks: int = 1,
        augmentation: Literal["none", "resized_crop_flip"] = "none",
        turned: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(torch.from_numpy(files.labels).to(device), **options)
        cropped = augmentation == "resized_crop_flip"
        workers = usable_workers(workers, -(-self.batch_size // self.ranks) * size * size * 3, local_ranks)
        self._requests = _Requests()
        self._loader = DataLoader(
            Decoder(files, size=size, resize=resize, seed=self.seed if cropped else None, turned=turned),
            batch_size=None,  # a request is a batch, and one worker's work
            sampler=self._requests,
            num_workers=workers,
            prefetch_factor=PREFETCH if workers else None,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0 and self.seed is not None,
            worker_init_fn=begin_worker,
            multiprocessing_context=worker_context() if workers else None,
            generator=torch.Generator(),  # its own: the global one belongs to the training
        )
        self._pass: Any = None  # Lightning resets what is called _iterator, and leaves its workers

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]]:
        """Normalised float32 images in channels-last memory and int64 labels: the rest of the current epoch."""
        epoch, order, parts = self.remaining()
        indices = order.numpy()
        self._requests.waiting = [Request(indices[part], epoch, part.start) for part in parts]
        device = self.labels.device
        for batch in self._decoded():
            if isinstance(batch, str):
                raise UserError(batch)
            pixels, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
            yield self.normalise(pixels.permute(0, 3, 1, 2)), labels

    def _decoded(self) -> Iterator[Any]:
        try:
            self._pass = iter(self._loader)
            listen(self._pass)
            _OPEN.add(self)
            yield from self._pass
        except (RuntimeError, EOFError, ConnectionError) as error:  # the latter while it hands over a batch
            told = how_they_ended(self._pass)
            if "Too many open files" in str(error):
                told = "too many files are open for so many --data.workers: take fewer, or raise the limit (ulimit -n)"
            if told is None:
                raise
            raise UserError(f"{told}; the same command continues from the last checkpoint") from error

    def close(self) -> None:
        """End the workers; another pass would start new ones."""
        iterator, self._pass, self._loader._iterator = self._pass, None, None
        if hasattr(iterator, "_shutdown_workers"):  # there are none where this process decodes
            iterator._shutdown_workers()
            for worker in iterator._workers:
                worker.kill()

    def __del__(self) -> None:
        if getattr(self, "_pass", None) is not None:
            self.close()
