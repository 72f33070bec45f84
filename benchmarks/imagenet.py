"""What decoding photographs costs: images a second of ours beside torchvision's reference and the decoder's own limit.

    python benchmarks/imagenet.py FOLDER [--json FILE] [--workers 2] [--batch 64] [--rounds 5] [--repeats 4]

FOLDER holds class folders of JPEGs (train/ or val/ of ImageNet, or the 200 photographs of a sample). Passes of ours, of
the reference (ImageFolder, DataLoader, the classic transforms on Pillow images, ToTensor, Normalize) and of decoding
alone (read and decode, nothing else, by each decoder) alternate, with the same workers; medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from repro.data import create_data
from repro.data.loading.decoding import decode
from repro.data.loading.image_file import open_rgb

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def drafted(path: Path) -> Image.Image:
    """Pillow's reduced decoding: other pixels, which is why it is only shown."""
    with Image.open(path) as image:
        image.draft("RGB", (256, 256))
        return image.convert("RGB")


class Only(Dataset[int]):
    """Reads and decodes, and hands nothing back."""

    def __init__(self, files: list[Path], decoder: Callable[[Path], object]) -> None:
        self.files, self.decoder = files, decoder

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> int:
        self.decoder(self.files[index])
        return index


def spent(batches: object) -> float:
    """Images a second of a pass, from its first batch on, when the workers are there."""
    first, seen = 0.0, 0
    for batch in batches:  # type: ignore[attr-defined]
        count = len(batch[-1]) if isinstance(batch, (tuple, list)) else len(batch)
        if first:
            seen += count
        else:
            first = time.perf_counter()
    return seen / (time.perf_counter() - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=4, help="how often each image is in an epoch")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message="The image decoding", category=DeprecationWarning)
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "train"
        for label in sorted(path for path in given.folder.iterdir() if path.is_dir()):
            (tree / label.name).mkdir(parents=True)
            for path in sorted(label.iterdir()):
                for repeat in range(given.repeats):
                    (tree / label.name / f"{repeat}-{path.name}").symlink_to(path.resolve())
        measure(tree, given)


def measure(tree: Path, given: argparse.Namespace) -> None:
    files = sorted(tree.rglob("*.*"))
    loading = {"batch_size": given.batch, "num_workers": given.workers}
    classic = {
        "training": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
        "evaluation": [transforms.Resize(256), transforms.CenterCrop(224)],
    }

    def ours(kind: str) -> float:
        augmentation = "resized_crop_flip" if kind == "training" else "none"
        options = {"batch_size": given.batch, "evaluation_batch_size": given.batch, "workers": given.workers}
        data = create_data("ImageFolder", root=tree.parent, augmentation=augmentation, **options)
        data.setup()
        rate = spent(data.batches("train", training=kind == "training"))
        data.teardown("fit")
        return rate

    def reference(kind: str) -> float:
        steps = [*classic[kind], transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
        folder = ImageFolder(str(tree), transforms.Compose(steps))
        return spent(DataLoader(folder, shuffle=kind == "training", **loading))

    def only(decoder: Callable[[Path], object]) -> float:
        return spent(DataLoader(Only(files, decoder), **loading))

    passes = {
        "ours, training": lambda: ours("training"),
        "torchvision's reference, training": lambda: reference("training"),
        "ours, evaluation": lambda: ours("evaluation"),
        "torchvision's reference, evaluation": lambda: reference("evaluation"),
        "decoding alone, as ours": lambda: only(decode),
        "decoding alone, Pillow": lambda: only(open_rgb),
        "decoding alone, Pillow's draft mode (other pixels)": lambda: only(drafted),
    }
    machine = f"{platform.machine()}, torch {torch.__version__}, {given.workers} workers, batches of {given.batch}"
    print(f"{machine}; {len(files)} images an epoch\n")
    rates: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(given.rounds):
        for name, call in passes.items():
            rates[name].append(call())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name:52}{rate:8.0f} images/s  ({min(rates[name]):.0f} to {max(rates[name]):.0f})")
    ratios = {}
    for kind in classic:
        mine, limit = rates[f"ours, {kind}"], rates["decoding alone, as ours"]
        theirs = rates[f"torchvision's reference, {kind}"]
        ratios[f"{kind}, beside the reference"] = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        ratios[f"{kind}, beside decoding alone"] = statistics.median(a / b for a, b in zip(mine, limit, strict=True))
    print()
    for name, ratio in ratios.items():
        print(f"{name:52}{ratio:8.2f}")
    if given.json:
        content = {"machine": machine, "images": len(files), "images_per_second": medians, "ratios": ratios}
        given.json.write_text(json.dumps({**content, "rounds": rates}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
