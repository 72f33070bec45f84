from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.datasets import ImageFolder as Reference
from torchvision.transforms import v2

from repro.data import create_data
from repro.data.loading import decoding
from repro.data.loading.batches import epoch_order, generator
from repro.data.loading.decoding import (
    _CROP,
    DecodedBatches,
    Decoder,
    decode,
    evaluation_view,
    random_crop,
    training_view,
)
from repro.data.sources.folders import FolderDataModule, default_workers
from repro.errors import UserError

SIZE = 24


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    decoding._close_all()


def module(tree: Path, **options: object) -> FolderDataModule:
    defaults = {"batch_size": 8, "evaluation_batch_size": 4, "image_size": SIZE, "workers": 0, "seed": 5}
    data = create_data("imagefolder", root=tree, **{**defaults, "augmentation": "resized_crop_flip", **options})
    assert isinstance(data, FolderDataModule)
    data.setup()
    return data


def make(tree: Path, part: str = "train", *, workers: int = 0, **change: object) -> DecodedBatches:
    data = module(tree, workers=workers)
    options = {**data._batch_options(training=part == "train"), **change}
    augmentation = "resized_crop_flip" if part == "train" else "none"
    decoding = {"size": SIZE, "resize": 28, "workers": workers, "augmentation": augmentation}
    return DecodedBatches(data._sets[part], device=torch.device("cpu"), **decoding, **options)


def same(found: list[tuple[torch.Tensor, torch.Tensor]], wanted: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    assert len(found) == len(wanted)
    for (images, labels), (images_wanted, labels_wanted) in zip(found, wanted, strict=True):
        assert torch.equal(images, images_wanted)
        assert torch.equal(labels, labels_wanted)


def pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return v2.functional.pil_to_tensor(image.convert("RGB"))


@pytest.mark.parametrize("fast", [True, False])
def test_decoded_pixels_are_pillows(photographs: list[Path], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:  # a torchvision without its decoder
        monkeypatch.setattr(decoding, "decode_jpeg", None)
    for path in photographs:
        assert torch.equal(decode(path), pixels(path)), path


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.jpg", "L"), ("a.png", "RGBA"), ("a.JPEG", "PNG")])
def test_every_mode_and_a_png_called_jpeg_are_decoded(
    name: str, mode: str, photographs: list[Path], tmp_path: Path
) -> None:
    # ILSVRC's training images have both CMYK JPEGs and a PNG whose name ends in JPEG.
    with Image.open(photographs[7]) as image:
        rgb = image.convert("RGB")
    rgb.convert("RGB" if mode == "PNG" else mode).save(tmp_path / name, format="PNG" if mode == "PNG" else None)
    assert decode(tmp_path / name).shape == (3, rgb.height, rgb.width)
    assert torch.equal(decode(tmp_path / name), pixels(tmp_path / name))


def test_random_crops_are_torchvisions_draw_for_draw() -> None:
    reference = v2.RandomResizedCrop(SIZE)
    for seed in range(300):
        height, width = np.random.default_rng(seed).integers(1, 400, 2).tolist()
        height, width = (height, width) if seed % 3 else (10 + height % 5, 300 + width)  # some need the fallback
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            wanted = reference.make_params([torch.empty(3, height, width)])
        found = random_crop(height, width, torch.Generator().manual_seed(seed))
        assert found == (wanted["top"], wanted["left"], wanted["height"], wanted["width"])


def test_views_are_torchvisions_pixel_for_pixel(photographs: list[Path]) -> None:
    flips = 0
    evaluation = v2.Compose([v2.Resize(28, antialias=True), v2.CenterCrop(SIZE)])
    for number, path in enumerate(photographs):
        image = pixels(path)
        top, left, height, width = random_crop(*image.shape[1:], torch.Generator().manual_seed(number))
        wanted = v2.functional.resized_crop(image, top, left, height, width, [SIZE, SIZE], antialias=True)
        found = training_view(image, SIZE, torch.Generator().manual_seed(number))
        mirrored = torch.equal(found, v2.functional.horizontal_flip(wanted))
        flips += mirrored
        assert mirrored or torch.equal(found, wanted)
        assert torch.equal(evaluation_view(image, SIZE, 28), evaluation(image))
        by_pillow = v2.functional.pil_to_tensor(evaluation(v2.functional.to_pil_image(image)))
        # Pillow rounds after each of the two passes in another place: one level of 256 at most.
        assert (by_pillow.int() - evaluation_view(image, SIZE, 28).int()).abs().max() <= 1
    assert stats.binomtest(flips, len(photographs)).pvalue > 1e-4


def test_batches_are_what_torchvisions_folder_gives(tree: Path) -> None:
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.Resize(round(SIZE * 256 / 224), antialias=True),
            v2.CenterCrop(SIZE),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    reference = Reference(str(tree / "val"), transform)
    data = module(tree)
    mixed = np.random.default_rng(0).permutation(15)
    images, labels = (torch.cat(column) for column in zip(*data.batches("test"), strict=True))
    assert labels.tolist() == [reference.targets[place] for place in mixed]
    wanted = torch.stack([reference[place][0] for place in mixed])
    torch.testing.assert_close(images, wanted, rtol=1e-5, atol=1e-6)
    assert next(iter(data.batches("test")))[0].is_contiguous(memory_format=torch.channels_last)
    raw = module(tree, normalization="none")
    assert min(images.min() for images, _ in raw.batches("test")) >= 0
    assert max(images.max() for images, _ in raw.batches("test")) <= 1


def test_every_image_is_seen_once_an_epoch(tree: Path) -> None:
    batches = make(tree)
    assert len(batches) == 5
    labels = [found.tolist() for _, found in batches]
    assert [len(found) for found in labels] == [8, 8, 8, 8, 7]
    order = epoch_order(39, 5, 0)
    assert list(itertools.chain(*labels)) == batches.labels[order].tolist()
    assert sorted(order.tolist()) == list(range(39))


def test_each_image_has_a_crop_of_its_own_place_and_epoch(tree: Path) -> None:
    data = module(tree)
    batches = data.batches("train", training=True)
    batches.position = lambda: 7  # the second epoch's third batch
    images, _ = next(iter(batches))
    order = epoch_order(39, 5, 1)
    decoder = batches._loader.dataset
    assert isinstance(decoder, Decoder)
    for number in range(8):
        image = decode(decoder.path(int(order[16 + number])))
        wanted = training_view(image, SIZE, generator(5, 1, _CROP, 16 + number))
        assert torch.equal(images[number], batches.normalise(wanted[None])[0])


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_and_workers_sees_the_same_global_batches(ranks: int, tree: Path) -> None:
    whole = list(make(tree))
    parts = [list(make(tree, workers=2 * (rank % 2), rank=rank, ranks=ranks)) for rank in range(ranks)]
    joined = [tuple(torch.cat(column) for column in zip(*step, strict=True)) for step in zip(*parts, strict=True)]
    same(joined, whole)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_evaluation_sees_every_image_once_on_any_number_of_ranks(ranks: int, tree: Path) -> None:
    whole = list(make(tree, "test", batch_size=7))
    parts = [list(make(tree, "test", batch_size=7, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert {len(part) for part in parts} == {3}  # 7 + 7 + 1 images: no rank waits for another one's batch
    joined = [tuple(torch.cat(column) for column in zip(*step, strict=True)) for step in zip(*parts, strict=True)]
    same(joined, whole)
    assert sum(len(labels) for part in parts for _, labels in part) == 15


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_at_a_step_gives_the_remaining_batches(workers: int, tree: Path) -> None:
    for start in np.random.default_rng(workers).permutation(15)[:4].tolist():
        epoch, first = divmod(start, 5)
        uninterrupted = list(make(tree, position=lambda epoch=epoch: 5 * epoch))
        resumed = list(make(tree, workers=workers, position=lambda start=start: start))
        same(resumed, uninterrupted[first:])


def test_workers_stay_for_the_next_epoch_and_a_pass_broken_off_leaves_nothing_behind(tree: Path) -> None:
    steps = [0]
    batches = make(tree, workers=2, position=lambda: steps[0])
    next(iter(batches))
    pids = [worker.pid for worker in batches._loader._iterator._workers]  # type: ignore[union-attr]
    steps[0] = 7
    same(list(batches), list(make(tree, position=lambda: 7)))
    workers = batches._loader._iterator._workers  # type: ignore[union-attr]
    assert [worker.pid for worker in workers] == pids
    batches.close()
    assert not any(worker.is_alive() for worker in workers)
    same(list(batches), list(make(tree, position=lambda: 7)))  # closed is not over
    batches.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_no_global_random_number_is_drawn(tree: Path, workers: int) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(make(tree, workers=workers))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_damaged_image_is_named_in_one_line(tree: Path, tmp_path: Path, workers: int, part: str) -> None:
    copy = Path(shutil.copytree(tree, tmp_path / "tree"))
    path = copy / part / "b" / "01.JPEG"
    path.write_bytes(path.read_bytes()[:150])
    data = module(copy, workers=workers)
    role = {"train": "train", "val": "test"}[part]
    with pytest.raises(UserError) as caught:
        list(data.batches(role, training=part == "train"))
    assert str(caught.value).startswith(f"image '{path}' cannot be read (")
    assert str(caught.value).endswith("repro data check finds all such files")
    with pytest.raises(UserError, match="01.JPEG' cannot be read"):
        data._first(role, data.samples(role))


def test_splits_are_balanced_and_disjoint(tree: Path) -> None:
    data = module(tree, validation_size=6, train_size=12, batch_size=4)
    assert [data.samples(part) for part in ("train", "validation", "test")] == [12, 6, 15]
    assert data.evaluated == ["validation", "test"]
    for part, count in (("train", 4), ("validation", 2)):
        assert np.bincount(data._sets[part].labels).tolist() == [count] * 3
    assert not set(data._sets["train"].names.tolist()) & set(data._sets["validation"].names.tolist())


def test_the_test_images_can_be_fewer(tree: Path) -> None:
    data = module(tree, test_size=6)
    assert (data.samples("train"), data.samples("test")) == (39, 6)
    assert np.bincount(data._sets["test"].labels).tolist() == [2, 2, 2]


def test_the_probe_is_a_mixture_of_classes_and_unaugmented(tree: Path) -> None:
    images, labels = module(tree).probe(12)
    again, _ = module(tree, seed=9, augmentation="none").probe(12)
    assert torch.equal(images, again)
    assert set(labels.tolist()) == {0, 1, 2}
    assert module(tree).held_out_probe(3).shape == (3, 3, SIZE, SIZE)
    with pytest.raises(UserError, match="measure.probe_size is 40; allowed: up to the 39"):
        module(tree).probe(40)


def test_a_single_part_has_nothing_held_out(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "val", tmp_path / "val")
    data = module(tmp_path)
    assert (data.samples("train"), data.evaluated, len(data.test_dataloader())) == (15, [], 1)
    with pytest.raises(UserError, match="needs held-out images; set data.validation_size"):
        data.held_out_probe(2)


def test_two_validation_parts_are_refused(tree: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tree, tmp_path / "tree"))
    shutil.copytree(copy / "val", copy / "test")
    assert module(copy).evaluated == ["validation", "test"]
    with pytest.raises(UserError, match="data.validation_size is 3; .*val' is the validation set; set 0"):
        module(copy, validation_size=3)


def test_sizes_that_do_not_fit_are_refused(tree: Path) -> None:
    with pytest.raises(UserError, match="data.resize_size is 20; allowed: data.image_size 24 or more"):
        module(tree, resize_size=20)
    with pytest.raises(UserError, match="data.batch_size is 40; allowed, as for measure.probe_size: up to the 39"):
        module(tree, batch_size=40)


def test_ranks_of_a_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(16)))
    assert [default_workers(ranks) for ranks in (1, 4, 5, 32)] == [16, 4, 3, 1]
