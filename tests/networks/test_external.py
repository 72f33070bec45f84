from __future__ import annotations

import sys

import pytest
import timm
import torch

from repro.errors import UserError
from repro.networks import check, create_network

NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, image_size, hidden=3):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden), nn.Linear(hidden, num_classes))
        self.image_size = image_size
    def forward(self, x):
        return self.body(x)

def by_keywords(**kwargs) -> nn.Module:
    assert set(kwargs) <= {"num_classes", "bias"}, kwargs
    return nn.Linear(4, kwargs["num_classes"], bias=kwargs.get("bias", True))

def by_channels(in_channels) -> nn.Conv2d:
    return nn.Conv2d(in_channels, 2, 1)

def broken() -> 'nn.Module':
    raise RuntimeError("inside the user's code")

text = "no network"
def unannotated(num_classes):
    return nn.Linear(4, num_classes)

def number() -> nn.Module:
    return 3
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "stranger_nets.py").write_text(NETS)
    (tmp_path / "stranger_broken.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    return "stranger_nets"


def test_class_gets_the_arguments_that_its_signature_names(nets):
    check(f"{nets}:Net", num_classes=5, arguments={"hidden": 7})
    network = create_network(f"{nets}:Net", num_classes=5, image_size=16, in_channels=1, arguments={"hidden": 7})
    assert network.image_size == 16
    assert network.body[2].weight.shape == (5, 7)


def test_function_gets_channels_only_where_it_names_them(nets):
    assert create_network(f"{nets}:by_channels", in_channels=6).in_channels == 6


def test_bare_keywords_get_the_number_of_classes(nets):
    assert create_network(f"{nets}:by_keywords", num_classes=4, arguments={"bias": False}).bias is None
    assert create_network("torchvision.models:resnet18", num_classes=4).fc.out_features == 4


def test_a_module_that_is_already_imported_needs_no_spec(monkeypatch):
    # A notebook's own module, for one: find_spec("__main__") fails there.
    monkeypatch.setattr(sys.modules["__main__"], "MyNet", torch.nn.Flatten, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert isinstance(create_network("__main__:MyNet"), torch.nn.Flatten)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("stranger_nets:Missing", {}, "cannot import the network stranger_nets:Missing (AttributeError"),
        ("stranger_broken:Net", {}, "No module named 'no_such_module_at_all'"),
        ("stranger_nets:Net", {"arguments": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ("stranger_nets:text", {}, "is a str; a network is a subclass of torch.nn.Module, or a function annotated"),
        ("stranger_nets:unannotated", {}, "is a function; a network is a subclass of torch.nn.Module"),
        ("collections:OrderedDict", {}, "of Python's own library"),
        ("subprocess:getoutput", {"arguments": {"cmd": "touch PWNED"}}, "of Python's own library"),
        ("numpy:zeros", {"arguments": {"shape": 3}}, "a network is a subclass of torch.nn.Module"),
        ("numpy:ndarray", {"arguments": {"shape": 3}}, "is the class ndarray"),
        ("timm/resnet18", {"arguments": {"checkpoint_path": "evil.pth"}}, "does not take checkpoint_path here"),
        ("stranger_nets:number", {}, "must return a torch.nn.Module"),
        ("stranger_nets:Net", {"activation": "tanh"}, "does not take activation"),
    ],
)
def test_mistakes_are_told_in_one_line(nets, path, options, words):
    with pytest.raises(UserError) as caught:
        create_network(path, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_inside_the_users_code_keep_their_traceback(nets):
    with pytest.raises(RuntimeError, match="inside the user's code"):
        create_network(f"{nets}:broken")


def test_timm_gets_classes_channels_and_arguments():
    network = create_network("timm/resnet18", num_classes=3, in_channels=1, arguments={"stem_type": "deep"})
    assert network.fc.out_features == 3
    assert network.conv1[0].in_channels == 1
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 3)


def test_timm_networks_of_a_fixed_image_size_get_the_size():
    vit = create_network("timm/vit_tiny_patch16_224", image_size=32)
    assert vit(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    assert create_network("timm/vit_tiny_patch16_224", image_size=64, arguments={"img_size": 48})(
        torch.randn(1, 3, 48, 48)
    ).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("timm/resnet19", {}, ["resnet19", "resnet18", "timm.list_models()"]),
        ("timm/resnet18.nope", {}, ["resnet18.nope", "resnet18.a1_in1k"]),
        ("timm/resnet18", {"width": 3}, ["does not take width", "pretrained", "arguments"]),
        ("timm/mixer_s32_224", {"pretrained": True}, ["no pretrained weights"]),
    ],
)
def test_timm_mistakes_are_told_by_check_too(name, options, words):
    for function in (check, create_network):
        with pytest.raises(UserError) as caught:
            function(name, **options)
        assert all(word in str(caught.value) for word in words), caught.value


def test_timm_arguments_that_do_not_fit():
    with pytest.raises(UserError, match="no_such_argument"):
        create_network("timm/resnet18", arguments={"no_such_argument": 1})


def test_weights_that_cannot_be_fetched(monkeypatch):
    def unreachable(*args, pretrained, **kwargs):
        assert pretrained
        raise OSError("cannot reach the hub\nsecond line")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match=r"could not get the pretrained weights of timm/resnet18 .*HF_HOME") as caught:
        create_network("timm/resnet18", pretrained=True)
    assert "second line" not in str(caught.value)
