"""What a run asks of a data set: the seam for one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from repro.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@runtime_checkable
class ImageData(Protocol):
    """A `LightningDataModule` whose training set has a number of images, and gives some of them as a probe.

    `repro.data.module.ImageDataModule` has all of it: a subclass gives its facts as class attributes, and its arrays by
    one method, ``load``.
    """

    num_classes: int
    in_channels: int
    image_size: int
    """Height and width of the square images."""
    training_batches: Callable[[Any], Any] | None
    """What to train on in place of the images: made of the batches that they would come in."""

    @property
    def evaluated(self) -> list[str]:
        """The held-out parts, ``validation`` and ``test``, in the order of ``val_dataloader``."""

    def setup(self, stage: str | None = None) -> None:
        """Load the images; Lightning calls it before the training."""

    def teardown(self, stage: str) -> None:
        """End what `setup` has begun; called once more than needed, if the training fails."""

    def samples(self, part: str) -> int:
        """Number of images in a part: train, validation or test."""

    def batches(self, part: str, *, training: bool = False) -> Any:
        """Batches of a part, for evaluation or for training: images and labels."""

    def probe(self, size: int) -> tuple[Float[Tensor, "size channels height width"], Int[Tensor, " size"]]:
        """The first `size` training images as the network reads them, unaugmented, and their labels."""

    def held_out_probe(self, size: int) -> Float[Tensor, "size channels height width"]:
        """The first `size` images that are not trained on."""


def require_image_data(data: Any, name: str) -> ImageData:
    """A DataModule of one's own, if it has all that a run asks for; the error names what it lacks."""
    if isinstance(data, ImageData):
        return data
    lacks = [member for member in _MEMBERS if not hasattr(data, member)]
    raise UserError(f"'{name}' lacks {', '.join(lacks)}; repro.data.module.ImageDataModule, as its base, has all of it")


_MEMBERS = [*ImageData.__annotations__, *(member for member in vars(ImageData) if not member.startswith("_"))]
