"""CIFAR-10 and CIFAR-100 from torchvision's files, class folders or zips; no torch."""

from __future__ import annotations

import codecs
import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from repro.data.loading.arrays import Arrays, require
from repro.data.preparation import cache, image_arrays
from repro.data.preparation.cache import Source
from repro.data.preparation.files import fetch, md5
from repro.data.registry import DATASETS
from repro.errors import UserError, no_pipe, refusing
from repro.text import shell


@dataclass(frozen=True, kw_only=True)
class Published:
    """The files of torchvision.datasets.CIFAR10 or CIFAR100: pickles, read only if their md5 is right."""

    archive: str
    folder: str
    train: Mapping[str, str]
    """Name of each file, and its md5."""
    test: Mapping[str, str]
    meta: tuple[str, str]
    labels: str
    """Key of the labels in a batch."""
    names: str
    """Key of the classes' names in the meta file."""


HOST = "https://www.cs.toronto.edu/~kriz/"
PUBLISHED = {
    "CIFAR10": Published(
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
        meta=("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        labels="labels",
        names="label_names",
    ),
    "CIFAR100": Published(
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        meta=("meta", "7973b15100ade9c7d40fb424638fde48"),
        labels="fine_labels",
        names="fine_label_names",
    ),
}
PIXELS = {"CIFAR10": "80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660"}
"""`_digest` of the published images and labels in their published order, where it is known."""


def prepare(name: str, root: Path, source: Path | None, download: bool) -> str:
    """Make the cache of CIFAR10 or CIFAR100.

    From torchvision's archive or folder (`source`, below it, or in `root`; downloaded if asked), or from a tree or zip
    of images (see `repro.data.preparation.image_arrays`). See `repro.data.preparation.cache.prepare`.
    """
    return cache.prepare(root, name, lambda: partial(_checked, name, _maker(name, root, source, download)))


def _checked(name: str, make: cache.Make) -> tuple[Arrays, Source]:
    arrays, source = make()
    facts = DATASETS[name]
    require(arrays, name, classes=facts.classes, channels=facts.channels, image_size=facts.image_size)
    for labels, size in ((arrays.train_labels, facts.train), (arrays.test_labels, facts.test)):
        counts = np.bincount(labels, minlength=facts.classes)
        for label, count in enumerate(counts):
            if count != size // facts.classes:
                raise UserError(
                    f"{name} from '{source.name}' has {count} images of class {source.classes[label]} in a split of "
                    f"{len(labels):,}; expected {size // facts.classes} of each"
                )
    return arrays, source


def _maker(name: str, root: Path, source: Path | None, download: bool) -> cache.Make:
    files = PUBLISHED[name]
    again = f"repro data prepare {name} --root {shell(root)} --from"
    advice = f"fetch {HOST}{files.archive} elsewhere, then: {again} {files.archive}"
    if download:
        return partial(_downloaded, name, advice)
    for path in [source / files.archive, source] if source else [root / files.archive, root]:
        if path.is_file() and not path.name.endswith(".zip"):
            return lambda: _published(name, _archive(path, str(path)), str(path))
        for folder in (path / files.folder, path):
            if (folder / files.meta[0]).is_file():
                return partial(_published, name, partial(_in_folder, folder), str(folder))
    if source is None:
        raise UserError(f"'{root}' has no {files.archive}; add --download, or --from PATH for a local copy ({advice})")
    if not source.exists():
        raise UserError(f"'{source}' does not exist; {advice}")
    return partial(_images, name, source)


def _downloaded(name: str, advice: str) -> tuple[Arrays, Source]:
    content = fetch([HOST + PUBLISHED[name].archive], advice)
    return _published(name, _archive(io.BytesIO(content), "the download"), "the download")


def _images(name: str, source: Path) -> tuple[Arrays, Source]:
    arrays, names = image_arrays.read(source, classes=DATASETS[name].classes, image_size=DATASETS[name].image_size)
    return arrays, Source(name=source.name, published=_digest(arrays) == PIXELS.get(name), classes=names)


def _digest(arrays: Arrays) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array, np.uint8).data)
    return content.hexdigest()


def _in_folder(folder: Path, file: str) -> bytes:
    with refusing(f"cannot read '{folder / file}'"):
        return no_pipe(folder / file).read_bytes()


def _archive(tar: Path | io.BytesIO, shown: str) -> Callable[[str], bytes]:
    """How to read a file of a gzipped tar by its name without a path; nothing is unpacked to disk."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tar) if isinstance(tar, Path) else tarfile.open(fileobj=tar) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    contents[Path(member.name).name] = content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"'{shown}' is damaged or cut short: {error}") from error

    def read(file: str) -> bytes:
        if file not in contents:
            raise UserError(f"'{shown}' has no {file}; it has {', '.join(sorted(contents)[:10]) or 'no files'}")
        return contents[file]

    return read


def _published(name: str, read: Callable[[str], bytes], shown: str) -> tuple[Arrays, Source]:
    files = PUBLISHED[name]

    def loaded(file: str, expected: str) -> Mapping[str, Any]:
        content = read(file)
        if (digest := md5(content)) != expected:
            raise UserError(f"{file} from '{shown}' is damaged: md5 expected {expected}, found {digest}")
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()  # type: ignore[no-any-return]

    arrays = []
    for part in (files.train, files.test):
        batches = [loaded(*entry) for entry in part.items()]
        rows = np.concatenate([batch["data"] for batch in batches])
        arrays.append(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        arrays.append(np.concatenate([np.array(batch[files.labels], np.uint8) for batch in batches]))
    names = loaded(*files.meta)[files.names]
    return Arrays(*arrays), Source(name=Path(shown).name, published=True, classes=list(names))


class _Unpickler(pickle.Unpickler):
    """Unpickles arrays, lists and strings only: md5 keeps damage out, this keeps malice out."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("_codecs", "encode"): codecs.encode,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")
        return self.ALLOWED[module, name]


prepare_cifar10, prepare_cifar100 = partial(prepare, "CIFAR10"), partial(prepare, "CIFAR100")
check_cifar10, check_cifar100 = partial(cache.check, name="CIFAR10"), partial(cache.check, name="CIFAR100")
source_cifar10, source_cifar100 = partial(cache.source, name="CIFAR10"), partial(cache.source, name="CIFAR100")
