"""Shapes in signatures are checked while the tests run; in use they cost nothing."""

from __future__ import annotations

import gc
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.checked import install

os.environ["OMP_NUM_THREADS"] = "1"  # the workers are as many as the processors, and the work is small
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where a test sets more
os.environ.setdefault("WANDB_MODE", "disabled")  # tests of W&B set the mode themselves
for name in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[name]  # also when the tests themselves run in a job
settings.register_profile("repro", deadline=None)  # a busy machine is no failure
settings.load_profile("repro")
install()

gc.disable()  # until all is imported: nothing of that is garbage


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker more than processors where the slow tests run: many of them wait, for SLURM, a service or each other."""
    from xdist.plugin import pytest_xdist_auto_num_workers as processors

    return int(processors(config)) + ("not slow" not in config.option.markexpr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what waits longest, so that the other workers have the rest meanwhile."""
    items.sort(key=lambda item: "test_rehearsal" not in item.nodeid)


def pytest_collection_finish() -> None:
    gc.freeze()  # what is imported stays: the collector need not look through it time and again
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def mnist_files() -> Path:
    """Folder of MNIST's four gzipped files; tests that need them skip where there are none."""
    folder = SHARED / "MNIST" / "raw"
    if not folder.is_dir():
        pytest.skip("needs a local copy of MNIST's idx files")
    return folder


@pytest.fixture(scope="session")
def cifar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 and the near-exact CIFAR-100, prepared from local copies; tests skip where there are none."""
    from repro.data.sources import cifar

    root = tmp_path_factory.mktemp("cifar")
    for name, file in (("CIFAR10", "cifar10-lossless-webp.zip"), ("CIFAR100", "cifar100-jpeg95-mosaic.zip")):
        if not (SHARED / file).is_file():
            pytest.skip(f"needs a local copy of {name}")
        cifar.prepare(name, root, SHARED / file, False)
    return root


@pytest.fixture(scope="session")
def cifar10_pickles(cifar_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's own files of CIFAR-10, put together again from the prepared pixels and the rest of each file."""
    from repro.data.preparation import cache

    arrays = cache.load(cifar_root, "CIFAR10")
    root = tmp_path_factory.mktemp("pickles")
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    with zipfile.ZipFile(SHARED / "cifar10-lossless-webp.zip") as archive:
        (folder / "batches.meta").write_bytes(archive.read("rebuild/batches.meta"))
        parts = {f"data_batch_{number + 1}": arrays.train_images[10_000 * number :][:10_000] for number in range(5)}
        for name, images in (parts | {"test_batch": arrays.test_images}).items():
            pixels = images.transpose(0, 3, 1, 2).tobytes()
            content = archive.read(f"rebuild/{name}.head") + pixels + archive.read(f"rebuild/{name}.tail")
            (folder / name).write_bytes(content)
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sixty JPEG files: photographs of ImageNet, one of them grey; where there are none, the embedded digits."""
    folder = tmp_path_factory.mktemp("photographs")
    if (SHARED / "imagenet-sample.zip").is_file():
        with zipfile.ZipFile(SHARED / "imagenet-sample.zip") as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
            # The smaller ones, for quick tests, but of many shapes.
            chosen = sorted(names, key=lambda name: archive.getinfo(name).file_size)[:60]
            return sorted(Path(archive.extract(name, folder)) for name in chosen)
    from PIL import Image

    from repro.data.sources import mnist5k

    for number, digit in enumerate(mnist5k.load().train_images[:60]):
        mode = "L" if number == 0 else "RGB"
        Image.fromarray(digit).resize((90 + number, 150 - number)).convert(mode).save(folder / f"{number:02}.JPEG")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def tree(photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of three classes with 13 training and 5 held-out photographs each; tests do not change it."""
    root = tmp_path_factory.mktemp("tree")
    pending = iter(photographs)
    for part, count in (("train", 13), ("val", 5)):
        for label in ("a", "b", "c"):
            place = root / part / label
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:02}.JPEG").write_bytes(next(pending).read_bytes())
    return root
