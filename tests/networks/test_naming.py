from __future__ import annotations

import re
import subprocess
import sys

import pytest

from repro.errors import UserError
from repro.networks import check
from repro.networks.options import Options, parse_options


def test_import_and_check_need_no_torch():
    code = (
        "import sys; from repro.networks import NETWORKS, Options, check;"
        "check('resnext200', gamma=3, activation='softplus');"
        "check('yaml:Loader'); print(sorted({'torch', 'timm', 'numpy', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plainnet20", {}),
        ("resnet32", {}),
        ("resnext110", {}),
        ("plainnet164", {"activation": "identity"}),
        ("resnext200", {"num_classes": 100, "in_channels": 1, "image_size": 28}),
        ("diracnet110", {"diagonal": "held"}),
        ("resnet101", {"block": "bottleneck"}),
        ("resnet164", {"block": "bottleneck"}),
        ("resnext101", {}),
        ("resnext20", {"block": "basic", "groups": 3}),
        ("resnet18", {"form": "imagenet"}),
        ("plainnet101", {"form": "imagenet", "image_size": 224}),
        ("resnext152", {"form": "imagenet", "shortcut": "identity"}),
        ("diracnet34", {"form": "imagenet"}),
        ("resnet20", {"width": None, "block": None, "arguments": {}}),
    ],
)
def test_allowed(name, options):
    check(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("plainnet105", {}, ["plainnet has depths 6n+2 (basic blocks): nearest 104 and 110"]),
        ("resnet2", {}, ["nearest 8 "]),
        ("resnet101", {}, ["nearest 98 and 104", "block bottleneck has 101", "form imagenet has 101"]),
        ("resnext100", {}, ["9n+2 (bottleneck blocks)", "nearest 92 and 101"]),
        ("resnet49", {"form": "imagenet"}, ["18, 34, 50, 101, 152", "nearest 34 and 50"]),
        ("resnext18", {"form": "imagenet"}, ["50, 101, 152", "block basic has 18"]),
        ("diracnet50", {"form": "imagenet"}, ["18, 34"]),
        ("resnt110", {}, ["resnt", "nearest: resnet"]),
        ("resnet", {}, ["resnet8"]),
        ("resnet020", {}, ["needs a depth"]),
        ("", {}, ["plainnet, resnet, resnext, diracnet"]),
        ("resnet20", {"activation": "rellu"}, ["rellu", "nearest: relu"]),
        ("resnet20", {"activtion": "relu"}, ["activtion", "nearest: activation"]),
        ("resnet20", {"groups": 4}, ["resnet does not take groups", "it takes num_classes", "shortcut"]),
        ("plainnet20", {"shortcut": "identity"}, ["plainnet does not take shortcut"]),
        ("resnet20", {"diagonal": "held"}, ["does not take diagonal"]),
        ("diracnet20", {"block": "bottleneck"}, ["does not take block"]),
        ("resnet20", {"pretrained": True}, ["does not take pretrained"]),
        ("resnet20", {"arguments": {"a": 1}}, ["does not take arguments"]),
        ("resnet20", {"image_size": 3}, ["image_size 3", "4 or more"]),
        ("resnet50", {"form": "imagenet", "image_size": 28}, ["image_size 28", "32 or more"]),
        ("resnext20", {"width": 5}, ["width 5", "groups 8", "divisor of 10"]),
        ("resnet20", {"width": 0}, ["width is 0", "from 1 up"]),
        ("resnet20", {"num_classes": True}, ["num_classes"]),
        ("resnet20", {"num_classes": None}, ["num_classes"]),
        ("resnet20", {"gamma": 0.0}, ["gamma", "above 0"]),
        ("resnet20", {"gamma": float("nan")}, ["gamma"]),
        ("resnet20", {"pretrained": "yes"}, ["pretrained", "true or false"]),
        ("timm/resnet18", {"arguments": ["a"]}, ["arguments"]),
        ("a:b:c", {}, ["import path"]),
        ("no_such_package.nets:Net", {}, ["no_such_package", "PYTHONPATH"]),
        ("yaml:Loader", {"width": 3}, ["does not take width", "arguments"]),
    ],
)
def test_refused_in_one_line(name, options, words):
    with pytest.raises(UserError) as caught:
        check(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(re.escape(word), message), message


def test_defaults_pass_for_every_network_even_where_it_does_not_take_the_option():
    check("plainnet20", **{name: field.default for name, field in Options.__dataclass_fields__.items()})


def test_parsing_nothing_gives_the_defaults():
    assert parse_options({}) == Options()
