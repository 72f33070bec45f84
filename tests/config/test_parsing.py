from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.config import Config, checked, configuration_parser, from_mapping, load, parse, to_flat, to_yaml
from repro.config.fields import keys
from repro.config.parsing import _as_fields
from repro.errors import UserError


def refused(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_no_arguments_give_the_defaults() -> None:
    assert parse([])[:2] == (Config(), Config())


def test_flags_swap_one_thing_and_keep_the_rest() -> None:
    config, base, *_ = parse(["--model.network", "resnext110", "--training.milestones=[0.3,0.6]"])
    assert config.model.network == "resnext110"
    assert config.training.milestones == (0.3, 0.6)
    assert dataclasses.replace(config, model=base.model, training=base.training) == base == Config()


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("layers 1 -3 --seed 1", "layers", (1, -3)),
        ("layers -1", "layers", (-1,)),
        ("layers [1,-3]", "layers", (1, -3)),
        ("measurements weights,errors norms:NORMS", "measurements", ("weights", "errors", "norms:NORMS")),
        ("measurements []", "measurements", ()),
        ("at_steps 20", "at_steps", (20,)),
        ("at_steps log", "at_steps", "log"),
    ],
)
def test_a_list_is_words_or_as_in_yaml(words: str, key: str, value: object) -> None:
    assert getattr(parse(f"--measure.{words}".split()).config.measure, key) == value
    assert "measurements is" in refused("--measure.measurements", "")


def test_files_are_the_base_and_later_files_and_flags_win(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("model: {network: plainnet20, width: 4}\nseed: 3\ntraining: {weight_decay: 1e-3}\n")
    second.write_text("model.width: 8\n")
    config, base, *_ = parse(["--config", str(first), f"--config={second}", "--seed", "5"])
    assert (config.model.network, config.model.width, config.seed) == ("plainnet20", 8, 5)
    assert config.training.weight_decay == 1e-3
    assert base.seed == 3


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model.widht", "8"], ["--model.widht", "nearest: --model.width"]),
        (["--model.widht=8"], ["'--model.widht'", "nearest: --model.width"]),
        (["--model.activation", "sigmoi"], ["'sigmoi'", "nearest: sigmoid", "softplus"]),
        (["--seed", "a"], ["seed is 'a'", "a whole number"]),
        (["--seed", "-1"], ["seed is -1", "0 to"]),
        (["--training.learning_rate", "fast"], ["'fast'", "a number"]),
        (["--training.milestones", "[0.7,0.5]"], ["milestones", "rising"]),
        (["--measure.at_steps", "x"], ["'x'", "a list of whole numbers"]),
        (["--trainer.devices", "many"], ["'many'", "a whole number or auto"]),
        (["--model", "resnet20"], ["--model is a group", "--model.network"]),
        (["resnet20"], ["'resnet20'", "--key value"]),
        (["--config"], ["--config needs a file"]),
        (["--config", "none.yaml"], ["none.yaml", "No such file"]),
        (["--model.gamma", "0"], ["model.gamma is 0", "above 0"]),
        (["--study", "a/b"], ["a/b", "without slashes"]),
        (["--training.optimizer", "moun"], ["'moun'", "nearest: muon"]),
        (["--training.optimizer", "adamw", "--training.nesterov", "true"], ["only with", "sgd or muon"]),
        (["--training.schedule", "linear"], ["'linear'", "milestones", "cosine", "constant"]),
        (["--training.clip_gradients", "0"], ["clip_gradients is 0", "above 0"]),
        (["--training.max_steps", "0"], ["max_steps is 0", "1 to 1,000,000,000"]),
        (["--trainer.max_epochs", "9" * 30], ["max_epochs is 9", "1 to 1,000,000"]),
    ],
)
def test_mistakes_are_one_line_with_what_is_allowed(arguments: list[str], parts: list[str]) -> None:
    text = refused(*arguments)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("model: {netwrk: resnet20}", ["'model.netwrk'", "nearest: model.network"]),
        ("trainign: {momentum: 0.5}", ["'trainign'", "nearest: training"]),
        ("model: resnet20", ["'model' is 'resnet20'", "network: resnet110"]),
        ("- 1", ["holds a list"]),
        ("model: {network: [", ["is not YAML"]),
        ("training: {learning_rate: x}", ["training.learning_rate is 'x'", "a number"]),
        ("data: {batch_size: 0}", ["data.batch_size is 0"]),
    ],
)
def test_mistakes_in_files_name_the_file_or_key(content: str, parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    text = refused("--config", str(path))
    for part in parts:
        assert part in text


@settings(max_examples=25)
@given(
    st.builds(
        lambda network, width, rate, seed, steps, name: {
            "model.network": network,
            "model.width": width,
            "training.learning_rate": rate,
            "seed": seed,
            "measure.at_steps": steps,
            "name": name,
        },
        st.sampled_from(["resnet20", "null", "1e3", "a: b", "'", "ü"]),
        st.none() | st.integers(1, 100),
        st.floats(1e-8, 10),
        st.integers(0, 2**31 - 1),
        st.lists(st.integers(0, 10**6), max_size=3),
        st.none() | st.text("abc-.123", min_size=1).filter(lambda text: text not in (".", "..") and text[0] != "-"),
    )
)
def test_yaml_reads_back_to_an_equal_configuration(values: dict[str, object]) -> None:
    config = from_mapping(values)
    assert from_mapping(yaml.safe_load(to_yaml(config))) == config


def test_stored_configuration_loads(tmp_path: Path) -> None:
    config = from_mapping({"model.arguments": {"depth": 3}, "model.network": "a.b:C"})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load(tmp_path / "config.yaml") == config
    assert tuple(to_flat(config)) == keys()


def test_every_key_has_a_help_text() -> None:
    helps = {action.dest: str(action.help) for action in configuration_parser()._actions}
    for key in keys():
        assert len(helps[key].partition("(default")[0].split()) > 1 or key == "trainer.num_nodes", key


def test_parsing_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from repro.config import parse; parse(['--model.width', '8']);"
        "print(sorted({'torch', 'lightning', 'pandas', 'matplotlib', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2", "key 'seed' is there twice, in lines 1 and 2"),
        ("model: {network: resnet20}\nmodel: {width: 3}", "key 'model' is there twice"),
        ("model:\n  width: 3\n  network: resnet20\n  width: 4", "key 'width' is there twice, in lines 2 and 4"),
        ("model.network: resnet20\nmodel: {network: resnet8}", "model.network is there twice"),
        ("model: {arguments: {a: 1, a: 2}}", "key 'a' is there twice"),
        ("model: {arguments: {x: !!set {a, b}}}", "line 1 has a set"),
        ("model: {arguments: {x: !!binary aGk=}}", "line 1 has a binary"),
        ("model:\n  arguments: {x: 2020-01-01}", "line 2 has a timestamp; allowed: .*; put it in quotes"),
        ("model: {arguments: {[1, 2]: 3}}", "neither text nor a number"),
        ("model: {arguments: {x: !!python/object/apply:os.system [ls]}}", "could not determine a constructor"),
        ("training: {learning_rate: .inf}", "training.learning_rate is inf; allowed: finite numbers"),
        ("training: {weight_decay: 1.0e+308}", "training.weight_decay is 1e.308; allowed: finite numbers, up to"),
        ("data: {seed: -1}", "data.seed is -1; allowed: 0 or more"),
        ("training: {momentum: .nan}", "training.momentum is nan"),
        ("model: {arguments: {x: [{y: 1.0e+400}]}}", "model.arguments.y is inf|model.arguments"),
    ],
)
def test_what_a_file_says_twice_or_unclearly_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_an_older_runs_configuration_is_read_without_what_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {network: resnet20}\ntrainer: {graph: true, max_epochs: 3}\n")
    assert load(path).trainer.max_epochs == 3
    path.write_text("trainer.graph: true\nseed: 4\n")
    assert load(path).seed == 4


@pytest.mark.parametrize("content", ["trainer: {graph: true}", "trainer.graph: true"])
def test_what_has_gone_says_what_to_use(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    for arguments in (["--config", str(path)], ["--trainer.graph", "true"], ["--trainer.graph=true"]):
        with pytest.raises(UserError, match=r"trainer.graph was removed; --trainer.compile network"):
            parse(arguments)
    path.write_text(content.replace("true", "false"))
    parse(["--config", str(path)])


def test_a_merge_key_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("model: &usual {network: resnet20, width: 4}\ndata: {name: MNIST5k}\n")
    assert load(path).model.width == 4
    path.write_text("model: {arguments: {one: &usual {a: 1, b: 2}, two: {<<: *usual, a: 3}}}")
    assert load(path).model.arguments == {"one": {"a": 1, "b": 2}, "two": {"a": 3, "b": 2}}


@pytest.mark.parametrize("value", [0, 3, 2.5, 1.0, True, None, "", "3", "null", "relu", "full", "1e-3", [1], {"a": 1}])
def test_what_the_parser_is_not_asked_for_is_what_it_would_say(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers() -> dict[str, object]:
        found: dict[str, object] = {}
        for key in keys():
            try:
                found[key] = repr(_as_fields({key: value}, "here")[key])
            except UserError as error:
                found[key] = str(error)
        return found

    quick = answers()
    monkeypatch.setattr("repro.config.parsing._plain", lambda key, value: False)
    assert quick == answers()


@pytest.mark.parametrize("value", ["!!set {a, b}", "!!binary aGVsbG8="])
def test_a_flag_takes_nothing_that_a_file_cannot_keep(value: str) -> None:
    """The run's own configuration could not be read again."""
    with pytest.raises(UserError, match="--model.arguments: line 1 has a (set|binary); allowed: texts"):
        parse(["--model.arguments", f"{{a: {value}}}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "x"}, "ResNet: unknown value of training.optimizer 'x'; allowed: sgd, adamw, muon"),
        ({"schedule": "Cosine"}, "training.schedule"),
        ({"learning_rate": None}, "training.learning_rate is empty"),
        ({"learning_rate": "x"}, "training.learning_rate is 'x'; allowed: a number"),
        ({"milestones": 3}, "training.milestones is '3'"),
        ({"nesterov": 2}, "training.nesterov"),
    ],
)
def test_a_callers_options_are_checked_like_a_file(options: dict[str, Any], message: str) -> None:
    """`repro.ResNet(optimizer="x")` had been trained by another optimiser, without a word."""
    with pytest.raises(UserError, match=message):
        checked("ResNet", training=options)


def test_numbers_of_numpys_are_a_callers_numbers() -> None:
    config = checked(
        "x", seed=np.int64(3), training={"learning_rate": np.float32(0.5)}, data={"batch_size": np.array(8)}
    )
    assert (config.seed, config.training.learning_rate, config.data.batch_size) == (3, 0.5, 8)
