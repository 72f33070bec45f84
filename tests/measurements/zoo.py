"""Networks of every kind that a user may bring, small: a maker and the inputs that it takes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import CondConv2d
from timm.models.convnext import ConvNeXt
from timm.models.mlp_mixer import MlpMixer
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from repro.networks import create_network
from repro.networks.skip import SkipToOutput

N = 4
"""Samples of the inputs."""


@dataclass(frozen=True)
class Case:
    """A network of the zoo."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    seen: float = 1.0
    """The share of matrix parameters that is to be seen, at least."""
    names: tuple[str, ...] = ()
    """Some of the layers that there must be."""


def images(size: int = 32, channels: int = 3, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    return lambda: torch.randn(N, channels, size, size, generator=torch.Generator().manual_seed(1)).to(dtype)


def vectors(features: int = 12, *more: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(N, features, *more, generator=torch.Generator().manual_seed(1))


def tokens(length: int = 6, words: int = 20) -> Callable[[], Tensor]:
    return lambda: torch.randint(words, (N, length), generator=torch.Generator().manual_seed(1))


class From(nn.Module):
    """A network by its parts and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def param(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / 3)


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for read, written in itertools.pairwise(sizes):
        layers += [nn.Linear(read, written), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def in_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=5, **options)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, centred / centred.std((1, 2, 3), keepdim=True), self.bias)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Binarised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, Sign.apply(self.weight), self.bias)


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


class Language(nn.Module):
    """A small language model: tied embeddings, causal attention written out, learned positions."""

    def __init__(self, words: int = 20, width: int = 8, *, tied: bool = True) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(words, width), nn.Parameter(torch.randn(1, 16, width))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head = nn.Linear(width, words, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, words: Tensor) -> Tensor:
        h = self.embed(words) + self.place[:, : words.shape[1]]
        q, k, v = (each.unflatten(2, (2, -1)).transpose(1, 2) for each in self.qkv(self.norm(h)).chunk(3, 2))
        h = h + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return self.head(h + self.mlp(self.norm(h)))


class Experts(nn.Module):
    """A mixture: each sample goes to its best expert, written as a loop over them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(12, 3)
        self.experts = nn.ModuleList(nn.Linear(12, 5) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        best = self.gate(x).argmax(1)
        result = torch.zeros(len(x), 5)
        for number, expert in enumerate(self.experts):
            if (mine := best == number).any():
                result[mine] = expert(x[mine])
        return result


class Routed(nn.Module):
    """timm's convolution whose kernel is mixed for each image anew."""

    def __init__(self) -> None:
        super().__init__()
        self.route, self.conv, self.head = nn.Linear(3, 2), CondConv2d(3, 4, 3, num_experts=2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x, self.route(x.mean((2, 3))).sigmoid()).mean((2, 3)))


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.up, self.merge = nn.ConvTranspose2d(6, 4, 2, 2), nn.Conv2d(8, 4, 3, padding=1)
        self.last = nn.ConvTranspose2d(4, 2, 4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = self.down(x).relu()
        h = self.merge(torch.cat([self.up(self.inner(first).relu()), first], 1)).relu()
        return {"out": self.last(h)}


def quantisation_aware() -> nn.Module:
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.qconfig = get_default_qat_qconfig("x86")
        prepare_qat(network, inplace=True)
        network(torch.randn(4, 3, 8, 8))
    return network


def fused_batchnorm() -> nn.Module:
    from torch.ao.nn.intrinsic.qat import ConvBn2d
    from torch.ao.quantization import get_default_qat_qconfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = ConvBn2d(3, 4, 3, qconfig=get_default_qat_qconfig("x86"))
        network = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).train()
        network(torch.randn(4, 3, 8, 8))
    return network


def quiet(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


def pruned() -> nn.Module:
    network = mlp(12, 10, 5)
    prune.l1_unstructured(network[1], "weight", amount=0.5)
    return network


def shared() -> nn.Module:
    network = mlp(12, 12, 12, 5)
    network[3].weight = network[1].weight
    return network


def normalised() -> nn.Module:
    """A network of ours that somebody has changed."""
    network = create_network("resnet8", width=4, num_classes=5)
    for name in ("stem.conv1", "stages.0.0.path.conv1", "head"):
        (WN if name == "head" else SN)(network.get_submodule(name))
    return network


def skipping() -> nn.Module:
    network = create_network("resnet8", width=4, num_classes=5)
    return SkipToOutput(network, 20, 0, image=torch.zeros(1, 3, 8, 8), num_classes=5)


WN, SN, ORTHOGONAL = parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal


def unrolled(self: Any, x: Tensor) -> Tensor:
    state = None
    for step in x.unbind(1):
        state = self.cell(step, state)
    return self.head(state[0] if isinstance(state, tuple) else state)


def last_state(self: Any, x: Tensor) -> Tensor:
    return self.head(self.rnn(x)[0][:, -1])


ZOO: dict[str, Case] = {
    "plainnet": Case(lambda: create_network("plainnet8", width=4, num_classes=5), images(8)),
    "diracnet": Case(lambda: create_network("diracnet8", width=4, num_classes=5), images(8)),
    "resnext": Case(lambda: create_network("resnext11", width=8, num_classes=5), images(8)),
    "projections": Case(lambda: create_network("resnet8", width=4, shortcut="projection"), images(8), seen=0.9),
    "ours, normalised": Case(normalised, images(8), names=("stem.conv1", "head")),
    "skip to output": Case(skipping, images(8), names=("skip",)),
    "timm resnet": Case(in_timm("resnet10t"), images(), seen=0.9),
    "timm nf_resnet": Case(in_timm("nf_resnet26"), images(), seen=0.8, names=("stem.conv",)),
    "timm vit": Case(
        in_timm("vit_tiny_patch16_224", img_size=32, depth=2), images(), seen=0.99, names=("blocks.0.attn.qkv",)
    ),
    "timm beit": Case(
        in_timm("beit_base_patch16_224", img_size=32, depth=1, embed_dim=24, num_heads=3), images(), seen=0.97
    ),
    "timm swin": Case(
        in_timm(
            "swin_tiny_patch4_window7_224", img_size=28, depths=(1, 1), embed_dim=24, num_heads=(3, 3), drop_path_rate=0
        ),
        images(28),
        seen=0.9,
    ),
    "timm mixer": Case(lambda: MlpMixer(5, img_size=32, num_blocks=1, embed_dim=32), images()),
    "timm convnext": Case(lambda: ConvNeXt(3, 5, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8)), images()),
    "timm efficientnet": Case(in_timm("mobilenetv3_small_050"), images()),
    "timm condconv": Case(Routed, images(8), names=("route", "conv", "head")),
    "torchvision vit": Case(
        lambda: torchvision.models.VisionTransformer(16, 8, 2, 2, 16, 24, num_classes=5),
        images(16),
        seen=0.9,
        names=("encoder.layers.encoder_layer_1.self_attention.in_proj_weight", "heads.head"),
    ),
    "torchvision segmentation": Case(
        lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=3),
        images(32),
    ),
    "torchvision detection": Case(
        lambda: torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None, num_classes=3),
        lambda: [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(2)],
    ),
    "torchvision shufflenet": Case(lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=5), images(32)),
    "encoder layers": Case(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
        ),
        vectors(6, 8),
        names=("layers.1.self_attn.out_proj", "layers.0.linear1"),
    ),
    "decoder layer": Case(
        lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        lambda: (vectors(6, 8)(), vectors(3, 8)()),
        names=("self_attn.in_proj_weight", "multihead_attn.in_proj_weight", "multihead_attn.in_proj_weight#2"),
    ),
    "attention of two widths": Case(
        lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True),
        lambda: {"query": vectors(5, 8)(), "key": vectors(3, 6)(), "value": vectors(3, 4)()},
        names=("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj"),
    ),
    "lstm": Case(
        lambda: From(last_state, rnn=nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True), head=nn.Linear(12, 5)),
        vectors(7, 8),
        names=("rnn.weight_ih_l0", "rnn.weight_hh_l1_reverse", "head"),
    ),
    "lstm with projection": Case(
        lambda: From(last_state, rnn=nn.LSTM(8, 6, proj_size=3, batch_first=True), head=nn.Linear(3, 5)), vectors(7, 8)
    ),
    "gru": Case(lambda: From(last_state, rnn=nn.GRU(8, 6), head=nn.Linear(6, 5)), vectors(7, 8)),
    "rnn": Case(lambda: From(last_state, rnn=nn.RNN(8, 6, batch_first=True), head=nn.Linear(6, 5)), vectors(7, 8)),
    "lstm cell": Case(
        lambda: From(unrolled, cell=nn.LSTMCell(8, 6), head=nn.Linear(6, 5)), vectors(3, 8), names=("cell.weight_ih#3",)
    ),
    "gru cell": Case(lambda: From(unrolled, cell=nn.GRUCell(8, 6), head=nn.Linear(6, 5)), vectors(3, 8)),
    "1-d": Case(
        lambda: nn.Sequential(
            nn.Conv1d(4, 6, 3), nn.ReLU(), nn.Conv1d(6, 6, 3, groups=2), nn.Flatten(), nn.Linear(36, 5)
        ),
        vectors(4, 10),
    ),
    "3-d": Case(
        lambda: nn.Sequential(
            nn.Conv3d(2, 4, 3), nn.ReLU(), nn.ConvTranspose3d(4, 2, 2), nn.Flatten(), nn.Linear(54, 5)
        ),
        vectors(2, 4, 4, 4),
    ),
    "transposed": Case(
        lambda: nn.Sequential(
            nn.Linear(12, 16),
            nn.Unflatten(1, (4, 2, 2)),
            nn.ConvTranspose2d(4, 6, 3, 2, groups=2),
            nn.ConvTranspose2d(6, 3, 3),
        ),
        vectors(12),
    ),
    "circular": Case(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")), images(8)),
    "spectral norm": Case(
        lambda: nn.Sequential(SN(nn.Conv2d(3, 4, 3)), nn.Flatten(), SN(nn.Linear(144, 5))), images(8)
    ),
    "weight norm": Case(lambda: nn.Sequential(WN(nn.Conv2d(3, 4, 3)), nn.Flatten(), WN(nn.Linear(144, 5))), images(8)),
    "orthogonal": Case(
        lambda: nn.Sequential(ORTHOGONAL(nn.Linear(12, 12)), nn.Tanh(), ORTHOGONAL(nn.Linear(12, 5))), vectors()
    ),
    "old weight norm": Case(
        quiet(lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(12, 10)), nn.ReLU(), nn.Linear(10, 5))), vectors()
    ),
    "old spectral norm": Case(
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(12, 10)), nn.ReLU(), nn.Linear(10, 5)), vectors()
    ),
    "own parametrization": Case(
        lambda: nn.Sequential(_symmetric(nn.Linear(12, 12)), nn.ReLU(), nn.Linear(12, 5)), vectors(), names=("0", "2")
    ),
    "standardised": Case(lambda: nn.Sequential(Standardised(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)), images(8)),
    "binarised": Case(lambda: nn.Sequential(Binarised(12, 10), nn.Tanh(), nn.Linear(10, 5)), vectors()),
    "pruned": Case(pruned, vectors()),
    "quantisation-aware": Case(quantisation_aware, images(8)),
    "quantisation-aware with normalisation": Case(fused_batchnorm, images(8)),
    "tied": Case(shared, vectors()),
    "tied and turned": Case(
        lambda: From(lambda self, x: F.linear(self.encode(x).relu(), self.encode.weight.T), encode=nn.Linear(12, 5)),
        vectors(),
    ),
    "reused": Case(
        lambda: From(
            lambda self, x: self.head(self.conv(self.conv(self.conv(x).relu()).relu()).flatten(1)),
            conv=nn.Conv2d(3, 3, 3, padding=1),
            head=nn.Linear(192, 5),
        ),
        images(8),
        names=("conv", "conv#2", "conv#3"),
    ),
    "bare parameters": Case(
        lambda: From(
            lambda self, x: (
                self.c @ torch.einsum("ni,io->no", (F.linear(x, self.a) @ self.b).relu(), self.d).unsqueeze(2)
            )[..., 0],
            a=param(10, 12),
            b=param(10, 8),
            c=param(5, 6),
            d=param(8, 6),
        ),
        vectors(),
        names=("a", "b", "c", "d"),
    ),
    "stacked experts": Case(
        lambda: From(
            lambda self, x: torch.bmm(x.expand(3, -1, -1), self.w).sum(0) + self.b(x, x),
            w=param(3, 12, 5),
            b=nn.Bilinear(12, 12, 5),
        ),
        vectors(),
        names=("w", "b"),
    ),
    "mixture of experts": Case(Experts, vectors(), names=("gate",)),
    "language model": Case(Language, tokens(), names=("qkv", "head"), seen=0.8),
    "language model, untied": Case(lambda: Language(tied=False), tokens(), seen=0.5),
    "generator": Case(
        lambda: nn.Sequential(
            nn.Linear(12, 64), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()
        ),
        vectors(),
    ),
    "discriminator": Case(
        lambda: nn.Sequential(SN(nn.Conv2d(3, 4, 4, 2, 1)), nn.LeakyReLU(0.2), nn.Flatten(), SN(nn.Linear(64, 1))),
        images(8),
    ),
    "u-net": Case(Unet, images(8)),
    "half": Case(lambda: mlp(12, 10, 5).half(), vectors()),
    "bfloat16": Case(lambda: mlp(12, 10, 5).bfloat16(), vectors()),
    "float64": Case(lambda: mlp(12, 10, 5).double(), vectors()),
    "mixed precision": Case(
        lambda: From(_autocast, body=mlp(12, 10, 8), head=nn.Linear(8, 5)), vectors(), names=("body.1", "head")
    ),
    "two inputs": Case(
        lambda: From(lambda self, a, b=None: self.one(a) + self.two(b), one=nn.Linear(12, 5), two=nn.Linear(3, 5)),
        lambda: {"a": vectors()(), "b": vectors(3)()},
    ),
    "compiled": Case(lambda: torch.compile(mlp(12, 10, 5)), vectors(), names=("1", "3")),
    "data parallel": Case(lambda: nn.DataParallel(mlp(12, 10, 5)), vectors(), names=("1", "3")),
    "checkpointed": Case(
        lambda: From(
            lambda self, x: self.head(torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)),
            body=mlp(12, 10, 8),
            head=nn.Linear(8, 5),
        ),
        vectors(),
    ),
    "frozen": Case(lambda: mlp(12, 10, 5).requires_grad_(requires_grad=False), vectors()),
}


def _symmetric(module: nn.Module) -> nn.Module:
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


def _autocast(self: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return self.head(self.body(x).relu())
