"""`repro data`: data sets listed, prepared, checked and looked at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from repro.config.gone import refuse_gone
from repro.data import DATASETS, create_data, dataset, fingerprint, provenance
from repro.errors import UserError
from repro.importing import load


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro data ACTION ...``."""
    refuse_gone(f"data {next(iter(arguments), '')}")
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|prepare|check|show")
    commands.add_parser("list", help="the data sets that there are", allow_abbrev=False)
    texts = {
        "prepare": "put a data set's files in place",
        "check": "check a data set's files",
        "show": "draw a batch as the network sees it, augmented and not",
    }
    for action, text in texts.items():
        sub = commands.add_parser(action, help=text, allow_abbrev=False)
        sub.add_argument("name")
        sub.add_argument("--root", type=Path, default=Path("data"), help="folder of prepared data sets (default: data)")
        if action == "prepare":
            source = sub.add_mutually_exclusive_group()
            source.add_argument(
                "--from",
                type=Path,
                dest="source",
                metavar="PATH",
                help="a local copy: archive, folder or zip",
            )
            source.add_argument("--download", action="store_true", help="fetch the files from the network")
        if action == "show":
            sub.add_argument("--out", type=Path, help="the picture, a .png (default: NAME.png)")
            sub.add_argument("--images", type=int, default=16, help="how many (default: 16)")
            sub.add_argument("--seed", type=int, default=0, help="of order and augmentation (default: 0)")
            sub.add_argument("--padding", choices=["zero", "reflect"], default="zero", help="around crops")
    given = parser.parse_args(arguments)
    if given.action == "list":
        for name, each in DATASETS.items():
            ready = "needs no preparing" if each.prepare is None else "needs repro data prepare"
            size = f"{each.train:,} + {each.test:,} images, {each.classes:,} classes, {ready}"
            print(f"{name:12} {size if each.train else 'your own: DIR/train/CLASS/IMAGE and DIR/val/CLASS/IMAGE'}")
        return 0
    if given.action == "show":
        return _show(given)
    chosen = dataset(given.name)
    if given.action == "prepare":
        if chosen.prepare is None:
            print(f"{given.name} needs no preparing")
        else:
            print(load(chosen.prepare)(given.root, given.source, given.download))
    elif given.action == "check" and chosen.verify is not None:
        print(load(chosen.verify)(given.root))
    seen = given.action == "check" or chosen.verify is None
    state = "is whole" if seen else "is in place (repro data check decodes every image)"
    print(f"{given.name} {state}: fingerprint {fingerprint(given.name, given.root)}")
    origin = provenance(given.name, given.root)
    if not origin.get("published", True):
        print(f"{given.name} is from {origin['source']}: not known to be the published pixels")
    return 0


def _show(given: argparse.Namespace) -> int:
    if given.images < 1:
        raise UserError(f"--images is {given.images}; allowed: 1 or more")
    out = given.out or Path(f"{given.name}.png")
    if out.suffix != ".png":
        raise UserError(f"--out is '{out}'; allowed: a name that ends in .png")
    fingerprint(given.name, given.root)
    import torch

    from repro.figures import to_png
    from repro.figures.images import grid, pixels

    rows, facts = [], ""
    options = {"root": given.root, "batch_size": given.images, "seed": given.seed}
    if dataset(given.name).tree is None:
        options["padding"] = given.padding
    for augmentation in dataset(given.name).augmentations:
        data = create_data(given.name, augmentation=augmentation, **options)
        data.setup()
        images, labels = next(iter(data.train_dataloader()))
        mean, deviation = (torch.tensor(each).view(1, -1, 1, 1) for each in (data.mean, data.deviation))
        shown_as = "not augmented" if augmentation == "none" else "augmented"
        rows.append((shown_as, pixels((images * deviation + mean).numpy())))
        facts = f"values that the network reads: {images.min():.2f} to {images.max():.2f}, mean {images.mean():.2f}"
    names = _class_names(given.name, given.root)
    shown = [names[label] if names else str(label) for label in labels.tolist()]
    what = f"{given.name}: first {len(shown)} training images of epoch 1, seed {given.seed}"
    figure = grid(rows, shown, f"{what}\n{facts}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(to_png(figure, dpi=100))
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror}") from error
    print(out)
    return 0


def _class_names(name: str, root: Path) -> list[str]:
    entry = dataset(name)
    if entry.tree is not None:
        return list(load(entry.tree)(root).classes)
    return list(load(entry.source)(root).classes) if entry.source else []
