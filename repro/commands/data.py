"""`repro data`: data sets listed, prepared, checked and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from repro.commands.options import MOST, Action, Request, argument, command_parser, option
from repro.data import DATASETS, create_data, dataset, fingerprint, provenance
from repro.errors import UserError, refusing
from repro.importing import load
from repro.records import replace_files

EXAMPLES = ("list", "prepare cifar10 --root data --download", "check cifar10", "show cifar10 --out cifar10.png")


class _Named(Request):
    name: str = argument("a data set's name (repro data list)")
    root: Path = option("folder of prepared data sets", default=Path("data"))


class _Prepare(_Named):
    source: Path | None = option("a local copy: archive, folder or zip", default=None, flag="--from", metavar="PATH")
    download: bool = option("fetch the files from the network", default=False)

    def __post_init__(self) -> None:
        if self.source and self.download:
            raise UserError("--from takes a local copy and --download fetches one; give one of the two")


class _Show(_Named):
    out: Path | None = option("the picture, a .png (default: NAME.png)", default=None, metavar="FILE")
    images: int = option("number of images", default=16, least=1)
    seed: int = option("seed of order and augmentation", default=0, least=0, most=MOST)
    padding: Literal["zero", "reflect"] = option(
        "what surrounds an image that is cropped: zeros, or its reflection", default="zero"
    )


def lines() -> Iterator[str]:
    """A line on every data set."""
    for name, entry in DATASETS.items():
        ready = "needs no preparing" if entry.prepare is None else "needs repro data prepare"
        size = f"{entry.train:,} + {entry.test:,} images, {entry.classes:,} classes, {ready}"
        yield f"{name:12} {size if entry.train else 'your own: DIR/train/CLASS/IMAGE and DIR/val/CLASS/IMAGE'}"


def _list(_request: Request) -> int:
    print("\n".join(lines()))
    return 0


def _prepare(request: _Prepare) -> int:
    prepare = dataset(request.name).prepare
    if prepare is None:
        print(f"{request.name} needs no preparing")
    else:
        print(load(prepare)(request.root, request.source, request.download))
    return _whole(request, seen=dataset(request.name).verify is None)


def _check(request: _Named) -> int:
    if (verify := dataset(request.name).verify) is not None:
        print(load(verify)(request.root))
    return _whole(request, seen=True)


def _whole(request: _Named, *, seen: bool) -> int:
    """Say of which pixels a data set is, that is all there."""
    state = "is whole" if seen else "is in place (repro data check decodes every image)"
    print(f"{request.name} {state}: fingerprint {fingerprint(request.name, request.root)}")
    origin = provenance(request.name, request.root)
    if not origin.get("published", True):
        print(f"{request.name} is from {origin['source']}: not known to be the published pixels")
    return 0


def _show(request: _Show) -> int:
    out = request.out or Path(f"{request.name}.png")
    if out.suffix != ".png":
        raise UserError(f"--out is '{out}'; allowed: a name that ends in .png")
    fingerprint(request.name, request.root)
    import torch

    from repro.figures import to_png
    from repro.figures.images import grid, pixels

    rows, facts = [], ""
    options = {"root": request.root, "batch_size": request.images, "seed": request.seed}
    if dataset(request.name).tree is None:
        options["padding"] = request.padding
    for augmentation in dataset(request.name).augmentations:
        data: Any = create_data(request.name, augmentation=augmentation, **options)
        data.setup()
        images, labels = next(iter(data.train_dataloader()))
        mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.deviation))
        shown_as = "not augmented" if augmentation == "none" else "augmented"
        rows.append((shown_as, pixels((images * deviation + mean).numpy())))
        facts = f"values that the network reads: {images.min():.2f} to {images.max():.2f}, mean {images.mean():.2f}"
    names = _class_names(request.name, request.root)
    shown = [names[label] if names else str(label) for label in labels.tolist()]
    what = f"{request.name}: first {len(shown)} training images of epoch 1, seed {request.seed}"
    figure = grid(rows, shown, f"{what}\n{facts}")
    with refusing(f"cannot write '{out}'"):
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_files({out: to_png(figure, dpi=100)})
    print(out)
    return 0


def _class_names(name: str, root: Path) -> list[str]:
    entry = dataset(name)
    if entry.tree is not None:
        return list(load(entry.tree)(root).classes)
    return list(load(entry.source)(root).classes) if entry.source else []


_ACTIONS = {
    "list": Action(Request, _list, "the data sets that there are"),
    "prepare": Action(_Prepare, _prepare, "put a data set's files in place"),
    "check": Action(_Named, _check, "check a data set's files"),
    "show": Action(_Show, _show, "draw a batch as the network sees it, augmented and not"),
}
parser = partial(command_parser, examples=EXAMPLES, actions=_ACTIONS)
