"""The interface of a data set that a run can use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from repro.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@runtime_checkable
class ImageData(Protocol):
    """The interface of a `LightningDataModule` that ``repro fit`` can train and measure on.

    `repro.data.module.ImageDataModule` implements it: a subclass only needs some class attributes and the method
    ``load``.
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
        """Load the images; Lightning calls it before training."""

    def teardown(self, stage: str) -> None:
        """Release what `setup` opened; may be called twice if training fails."""

    def samples(self, part: str) -> int:
        """Number of images in a part: ``train``, ``validation`` or ``test``."""

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
    raise UserError(
        f"'{name}' lacks {', '.join(lacks)}; its base class repro.data.module.ImageDataModule would have all of it"
    )


_MEMBERS = [*ImageData.__annotations__, *(member for member in vars(ImageData) if not member.startswith("_"))]
