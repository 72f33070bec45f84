from __future__ import annotations

import math

import pytest

from repro.report import words
from repro.report.outcomes import outcomes, verdicts
from repro.report.sources import sections


def captions(folder, figure: str) -> list[str]:
    (section,) = sections([folder])
    records = [outcome.records for outcome in outcomes(section) if outcome.records is not None]
    return words.caption(section, figure, records)


def test_a_caption_says_what_is_plotted_found_known_and_reduced(run, manifest) -> None:
    run("a", network="plainnet20", channel=math.inf)
    run("b", channel=math.nan)
    run("c", network="resnext20")
    shows = {"representations": "κ is infinite for PlainNet from layer 1 to about 70."}
    folder = manifest(("plainnet20", 0, "a"), ("resnet20", 0, "b"), ("resnext20", 0, "c"), paper_shows=shows)
    plotted, found, paper, reduced = captions(folder, "representations")
    assert "channel mode" in plotted
    assert found == (
        "At the last measurement, in the channel mode κ is infinite (perfectly singular, σmin/σmax ≤ 1e-12) "
        "in 2 of 2 layers of PlainNet-20 (1 to 2), "
        "non-finite in its entries in 2 of 2 layers of ResNet-20 (1 to 2) and finite in every layer of ResNeXt-20. "
        "As a matrix κ is finite in every layer of PlainNet-20, ResNet-20 and ResNeXt-20."
    )
    assert paper == shows["representations"]
    assert reduced.startswith("Reduced against our full size: base width 8")


def test_several_seeds_are_one_entry_of_a_sentence(run, manifest) -> None:
    run("a", growth=2.0)
    run("b", seed=1, growth=20_000.0, channel=math.inf, sigma_min=1e-9)
    folder = manifest(("resnet20", 0, "a"), ("resnet20", 1, "b"))
    assert "multiplied by 2 to 20,000 (ResNet-20)." in captions(folder, "first-layer")[1]
    found = captions(folder, "representations")[1]
    assert "κ is infinite (beyond float32, κ > 8.4e6) in 0 to 2 of 2 layers of ResNet-20 (2 runs)." in found


def test_a_full_run_is_not_called_reduced_and_another_paper_is_not_quoted(run, manifest) -> None:
    run("a")
    folder = manifest(("resnet20", 0, "a"), reduced=False, reductions=[], paper="Nguyen")
    assert all("aper" not in sentence for sentence in captions(folder, "weights"))


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("resnet110.test_accuracy >= 90", "ResNet-110 test accuracy (%) ≥ 90"),
        ("vgg11-skip-0.5.seconds < vgg11.seconds", "vgg11-skip-0.5 seconds < vgg11 seconds"),
        ("11.5 <= 20", "11.5 ≤ 20"),
        ("-300000 <= vgg11.seconds <= 1.5", "−300,000 ≤ vgg11 seconds ≤ 1.5"),
        ("3 > 2; not run: seed 1 of resnet110-tanh", "3 > 2; not run: seed 1 of ResNet-110 (tanh)"),
        (
            "90 <= resnet110.test_accuracy <= 95 | Table 2 (93.29)",
            "90 ≤ ResNet-110 test accuracy (%) ≤ 95 (Table 2, 93.29)",
        ),
        ("resnet110.seconds == 1 | section 6.5 (c)", "ResNet-110 seconds = 1 (section 6.5 (c))"),
        (
            "resnet110.seconds == 1 | section 6.5 (d) (x read as h)",
            "ResNet-110 seconds = 1 (section 6.5 (d), x read as h)",
        ),
        (
            "resnet110.seconds == 1 | Fig. 9 | no number",
            "ResNet-110 seconds = 1 (Fig. 9; one bound, as no number)",
        ),
    ],
)
def test_claims_in_words(claim: str, text: str) -> None:
    assert words.claim_in_words(claim) == text


def test_data_that_are_not_the_published_ones_are_said_to_be(run, manifest) -> None:
    for seed, (name, published) in enumerate((("a", True), ("b", False))):
        origin = {"name": "CIFAR100", "source": f"{name}.zip", "published": published}
        run(name, seed=seed).add_life({"data": origin})
    folder = manifest(("resnet20", 0, "a"), ("resnet20", 1, "b"), ("resnet20", 2, "not run"))
    note = "The data are CIFAR100 from b.zip, not known to be the published pixels."
    assert captions(folder, "weights")[-1].endswith(note)
    (section,) = sections([folder])
    assert words.reservations(section).count("The data are") == 1


def test_seeds_that_were_not_run_are_one_line(run, manifest) -> None:
    run("a0")
    run("b0", network="plainnet20")
    cells = [("resnet20", 0, "a0"), ("plainnet20", 0, "b0"), ("plain", 0, "x")]
    later = [(label, seed, f"{label}{seed}") for seed in (1, 2) for label in ("resnet20", "plainnet20")]
    (section,) = sections([manifest(*cells, *later)])
    assert words.missing(section) == "Not run: seed 0 of plain; seeds 1 and 2 of every network."
    (section,) = sections([manifest(*cells[:2])])
    assert words.missing(section) == ""


def test_a_claim_that_holds_in_some_seeds_is_mixed(run, manifest) -> None:
    for seed, accuracy in enumerate((0.95, 0.85, 0.92)):
        run(f"s{seed}", seed=seed, final={"train_accuracy": 1.0, "test_accuracy": accuracy})
    cells = [("resnet20", seed, f"s{seed}") for seed in range(4)]
    (section,) = sections([manifest(*cells, claims=["resnet20.test_accuracy >= 90", "resnet20.test_accuracy > 80"])])
    mixed, holds = verdicts(section, outcomes(section))
    assert (mixed.verdict, mixed.detail) == (
        "mixed",
        "95, 85, 92 >= 90; holds in 2 of 3 seeds; not run: seed 3 of resnet20",
    )
    assert (holds.verdict, holds.detail) == (
        "holds",
        "95, 85, 92 > 80; holds in 3 of 3 seeds; not run: seed 3 of resnet20",
    )


def test_of_many_networks_a_caption_counts_and_names_none(run, manifest) -> None:
    for depth in range(8):
        run(f"r{depth}", network=f"resnet{depth}", channel=math.inf if depth < 7 else 3.0, growth=depth + 1.0)
    folder = manifest(*((f"resnet{depth}", 0, f"r{depth}") for depth in range(8)))
    found = captions(folder, "representations")[1]
    assert "in the channel mode κ is infinite (perfectly singular, σmin/σmax ≤ 1e-12) in some layers of 7 of 8" in found
    assert found.endswith("As a matrix κ is finite in every layer of every network.")
    assert "multiplied by 1 to 8; the table has each network's." in captions(folder, "first-layer")[1]
