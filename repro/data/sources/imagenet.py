"""ImageNet (ILSVRC 2012) and any folder of images: what `repro data` does with their files. Free of torch.

ImageNet lies in ``ROOT/imagenet/{train,val}/nXXXXXXXX/*.JPEG``, an ImageFolder in ``ROOT/{train,val,test}/CLASS/*``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from repro.data.preparation import unpack
from repro.data.preparation.layout import PARTS
from repro.data.preparation.tree import Tree, beside, read
from repro.errors import UserError
from repro.text import shell

CLASSES, TRAIN, VALIDATION = 1000, 1_281_167, 50_000
_SHOWN = 5


def folder(root: Path) -> Path:
    """ImageNet's folder below `root`."""
    return root / "imagenet"


def imagenet_tree(root: Path, *, anew: bool = False) -> Tree:
    """ImageNet's files, if they are those of its 1,000 classes; `anew`: without the index."""
    how = f"ImageNet is not prepared; run: repro data prepare imagenet --root {shell(root)} --from DIR"
    tree = read(folder(root), missing=how, anew=anew)
    if len(tree.parts) != 2 or len(tree.classes) != CLASSES:
        raise UserError(
            f"'{folder(root)}' has {tree}; ImageNet has {CLASSES:,} classes in train and val; for another tree use "
            "--data.name ImageFolder --data.root DIR"
        )
    return tree


def folder_tree(root: Path, *, anew: bool = False) -> Tree:
    """The files of an ImageFolder; `anew`: without the index."""
    return read(
        root,
        missing="--data.root (repro data: --root) names a folder with train/CLASS/IMAGE and val/CLASS/IMAGE in it",
        anew=anew,
    )


def verify_imagenet(root: Path) -> str:
    """Decode every image; one line that says what there is, and whether it is the whole of ImageNet."""
    tree = imagenet_tree(root, anew=True)
    turned = _verify(tree)
    whole = (len(tree.parts["train"]), len(tree.parts["test"])) == (TRAIN, VALIDATION)
    return (
        f"{tree}{turned}" if whole else f"{tree}{turned} (reduced: the whole ImageNet has {TRAIN:,} + {VALIDATION:,})"
    )


def verify_folder(root: Path) -> str:
    """Decode every image; one line that says what there is."""
    tree = folder_tree(root, anew=True)
    return f"{tree}{_verify(tree)}"


def _verify(tree: Tree) -> str:
    """Refuse damaged images; returns a remark on images that are turned."""
    from repro.data.loading.verify import look_at_all

    files = [
        part.folder / label / name
        for part in tree.parts.values()
        for label, names in part.classes.items()
        for name in names
    ]
    looked = list(look_at_all(files))
    if faults := [image.fault for image in looked if image.fault]:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(f"{len(faults)} of {len(files):,} images are damaged: {'; '.join(faults[:_SHOWN])}{more}")
    turned = sum(image.turned for image in looked)
    return f"; {turned:,} say by EXIF that they are turned (--data.orientation exif turns them)" if turned else ""


def prepare_imagenet(root: Path, source: Path | None, download: bool) -> str:
    """Put ImageNet in place from ILSVRC's archives, a zip, or a tree, which is linked."""
    if download:
        raise UserError(
            "ImageNet cannot be downloaded without an account: log in at image-net.org, fetch "
            f"{', '.join(unpack.ARCHIVES)} (ILSVRC 2012, 145 GB) into a folder DIR, and run: "
            f"repro data prepare imagenet --root {shell(root)} --from DIR"
        )
    if source is not None and any((source / name).is_file() for name in unpack.ARCHIVES):
        unpack.unpack_ilsvrc(source, folder(root))
    else:
        kinds = "a folder with ILSVRC's archives or with train/ and val/, or a zip of one"
        _prepare(folder(root), source, kinds, lambda: imagenet_tree(root))
    return f"ImageNet is ready in '{folder(root)}': {imagenet_tree(root, anew=True)}"


def prepare_folder(root: Path, source: Path | None, download: bool) -> str:
    """Put a tree of images in place from a zip or another folder, which is linked."""
    if download:
        raise UserError("ImageFolder is your own images: there is nothing to download; use --from DIR or a zip")
    _prepare(root, source, "a folder with train/ and val/, or a zip of one", lambda: folder_tree(root))
    return f"ImageFolder is ready in '{root}': {folder_tree(root, anew=True)}"


def _prepare(target: Path, source: Path | None, kinds: str, look: Callable[[], Tree]) -> None:
    if any((target / name).is_dir() for name in PARTS):
        return  # it was there already
    if source is None:
        raise UserError(f"'{target}' holds no images; add --from DIR: {kinds}")
    if source.is_file():
        unpack.unpack_zip(source, target)
    elif any((source / name).is_dir() for name in PARTS):
        unpack.link(source, target)
        beside(source).note(0, source)
    else:
        raise UserError(f"'{source}' is none of these: {kinds}")
    try:
        look()
    except UserError:  # it is another tree: leave nothing of it
        unpack.remove(target)
        raise
