"""Inputs of `benchmarks/breaks.py`: calls from Python, prepared data, images, runs that move, values of options."""

from __future__ import annotations

import io
import shutil
import struct
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from breaks_inputs import (
    FIT,
    FOLDER,
    HANDLED,
    REFUSED,
    RUN,
    STUDY,
    Case,
    World,
    _write,
)
from breaks_lately import _nothing_outside, _spectra
from breaks_strangers import REPORT
from PIL import Image

HEAD = """
import math, sys
import numpy as np, pandas as pd, torch
from pathlib import Path
from torch import nn
import repro
from repro import records
net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))
x, y = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
frame = lambda: repro.measure(net, x, y, measurements=["weights", "gradients"])
RUN = "runs/single/RUN"
"""


def _program(source: str) -> None:
    """A program of somebody's in place of a command: a mistake of his is told as the command line tells it."""
    from repro.errors import UserError
    from repro.text import say

    try:
        exec(compile(HEAD + textwrap.dedent(source), "program.py", "exec"), {"__name__": "program"})
    except UserError as error:
        say(error)
        sys.exit(2)
    sys.exit(0)


def _calls(kind: str, wanted: tuple[str, ...], **programs: str) -> Iterator[Case]:
    for name, source in programs.items():
        yield Case(kind, name.replace("_", " "), [], before=partial(_program, source), wanted=wanted, check=_nothing_outside)


def calls() -> Iterator[Case]:
    """`repro.measure`, `plot`, `Watch`, the callback, the modules, `build`, `restore`, `records`."""
    yield from _calls(
        "repro.measure, refused",
        REFUSED,
        no_network="repro.measure(None, x)",
        a_path="repro.measure('net.pt', x)",
        a_class="repro.measure(nn.Linear, x)",
        no_inputs="repro.measure(net, None)",
        an_array="repro.measure(net, x.numpy())",
        a_list_of_numbers="repro.measure(net, [1.0, 2.0])",
        a_text="repro.measure(net, 'images')",
        no_samples="repro.measure(net, x[:0], y[:0])",
        one_sample_of_gradients="repro.measure(net, x[0], y[0], measurements=['gradients'])",
        wrong_width="repro.measure(net, torch.randn(8, 5))",
        whole_numbers="repro.measure(net, x.long())",
        one_measurement_as_text="repro.measure(net, x, measurements='weights')",
        no_measurements_at_all="repro.measure(net, x, measurements=None)",
        an_unknown_one="repro.measure(net, x, measurements=['weight'])",
        a_number_as_one="repro.measure(net, x, measurements=[3])",
        labels_short="repro.measure(net, x, y[:5], measurements=['gradients'])",
        labels_too_high="repro.measure(net, x, y + 3, measurements=['gradients'])",
        labels_negative="repro.measure(net, x, y - 3, measurements=['gradients'])",
        labels_text="repro.measure(net, x, list('abcabcab'), measurements=['gradients'])",
        no_labels="repro.measure(net, x, measurements=['gradients'])",
        layer_0="repro.measure(net, x, y, measurements=['distributions'], layers=[0])",
        layer_99="repro.measure(net, x, y, measurements=['distributions'], layers=[99])",
        layers_a_number="repro.measure(net, x, y, measurements=['distributions'], layers=1)",
        layers_text="repro.measure(net, x, y, measurements=['distributions'], layers='1')",
        layers_of_fractions="repro.measure(net, x, y, measurements=['distributions'], layers=[1.5])",
        a_mode_x="repro.measure(net, x, mode='x')",
        a_loss_of_many="repro.measure(net, x, y, measurements=['gradients'], loss=lambda o, t: o)",
        a_loss_of_a_number="repro.measure(net, x, y, measurements=['gradients'], loss=lambda o, t: 3.0)",
        a_loss_of_none="repro.measure(net, x, y, measurements=['gradients'], loss=lambda o, t: None)",
        a_loss_that_is_text="repro.measure(net, x, y, measurements=['gradients'], loss='cross_entropy')",
        an_optimizer_of_others="repro.measure(net, x, y, measurements=['updates'], optimizer=torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))",
        an_optimizer_class="repro.measure(net, x, y, measurements=['updates'], optimizer=torch.optim.SGD)",
        held_out_of_other_size="repro.measure(net, x, y, measurements=['amplification'], held_out=x[:3])",
        held_out_text="repro.measure(net, x, y, measurements=['amplification'], held_out='x')",
        output_that_is_not_there="repro.measure(net, x, y, measurements=['gradients'], output='logits')",
        weights_that_are_none="repro.measure(nn.Flatten(), x)",
    )
    yield from _calls(
        "repro.measure, as it should be",
        HANDLED,
        inputs_of_NaN="""
            frame = repro.measure(net, x * math.nan, y, measurements=['weights', 'representations'])
            assert len(frame[frame.measurement == 'weights']), frame""",
        weights_of_NaN="""
            with torch.no_grad(): net[1].weight[0, 0] = math.nan
            frame = repro.measure(net, x, measurements=['weights'])
            kappa = frame[(frame.quantity == 'condition_number') & (frame.layer == 1)].value
            assert kappa.isna().all() or np.isinf(kappa).all(), frame""",
        weights_of_zeros="""
            with torch.no_grad(): net[1].weight.zero_()
            frame = repro.measure(net, x, measurements=['weights'])
            kappa = frame[(frame.quantity == 'condition_number') & (frame.layer == 1)].value
            assert not np.isfinite(kappa).any(), frame""",
        tuples="assert len(repro.measure(net, (x,), y))",
        no_gradients_wanted="""
            with torch.no_grad(): assert len(repro.measure(net, x, y, measurements=['gradients']))""",
        inference_mode="""
            with torch.inference_mode(): z = x.clone()
            assert len(repro.measure(net, z, y, measurements=['gradients']))""",
        a_default_of_double="""
            torch.set_default_dtype(torch.float64)
            assert len(repro.measure(net, x, y, measurements=['weights', 'gradients']))""",
        names_of_formulas="""
            named = nn.Sequential(); named.add_module('=1+1', nn.Linear(4, 3)); named.add_module('@x', nn.Linear(3, 2))
            frame = repro.measure(named, torch.randn(8, 4)); text = records.to_csv(frame)
            assert not any(cell.startswith(('=', '@')) for line in text.splitlines() for cell in line.replace('"', '').split(',')), text""",
        names_of_odd_letters="""
            named = nn.Sequential(); named.add_module('<script>alert(1)</script>', nn.Linear(4, 3)); named.add_module('a\\nb\\u202e\\x1b[31m', nn.Linear(3, 2))
            figure = repro.plot(repro.measure(named, torch.randn(8, 4)))
            from repro.figures import to_svg
            assert '<script' not in to_svg(figure)""",
        numbers_of_NumPy="assert len(repro.measure(net, x, y, measurements=['distributions'], layers=np.array([1])))",
        twice_the_same="assert len(repro.measure(net, x, measurements=['weights', 'weights'])) == len(repro.measure(net, x, measurements=['weights']))",
        generators="assert len(repro.measure(net, x, measurements=(name for name in ['weights'])))",
    )
    yield from _calls(
        "repro.plot",
        ("refused", "handled"),
        nothing="repro.plot(frame().iloc[:0])",
        no_frame="repro.plot(None)",
        a_path="repro.plot('readings.csv')",
        no_columns="repro.plot(pd.DataFrame({'a': [1]}))",
        an_unknown_one="repro.plot(frame(), 'weight')",
        one_with_no_figure="repro.plot(frame(), 'gradient')",
        values_infinite="f = frame(); f['value'] = math.inf; repro.plot(f).savefig('x.png')",
        values_NaN="f = frame(); f['value'] = math.nan; repro.plot(f).savefig('x.png')",
        values_huge="f = frame(); f['value'] = 1e308; repro.plot(f).savefig('x.png')",
        values_text="f = frame(); f['value'] = f['value'].astype(str); repro.plot(f).savefig('x.png')",
        layers_huge="f = frame(); f['layer'] = 10**9; repro.plot(f).savefig('x.png')",
        layers_negative="f = frame(); f['layer'] = -f['layer']; repro.plot(f).savefig('x.png')",
        a_shuffled_index="f = frame().sample(frac=1.0, random_state=0); repro.plot(f).savefig('x.png')",
        a_doubled_index="f = pd.concat([frame(), frame()]); repro.plot(f).savefig('x.png')",
        names_missing="f = frame(); f['name'] = None; repro.plot(f).savefig('x.png')",
        names_of_TeX="f = frame(); f['name'] = '$\\\\frac{'; repro.plot(f).savefig('x.png')",
    )
    watch = "from repro import Watch\n"
    yield from _calls(
        "repro.Watch",
        ("refused", "handled"),
        a_file=watch + "Path('w').write_text('x'); Watch('w', net, x)",
        a_folder_of_others=watch + "Path('w').mkdir(); Path('w/a.txt').write_text('x'); Watch('w', net, x)",
        a_run_of_fit=watch + f"Watch('{RUN}', net, x)",
        twice_at_once=watch + "a = Watch('w', net, x); b = Watch('w', net, x)",
        under_a_file=watch + "Path('w').write_text('x'); Watch('w/y', net, x)",
        a_name_of_control_letters=watch + "Watch('a\\nb', net, x)",
        a_name_of_300_letters=watch + "Watch('x' * 300, net, x)",
        the_root=watch + "Watch('/', net, x)",
        no_name=watch + "Watch('', net, x)",
        steps_back=watch + "w = Watch('w', net, x, measurements=['weights']); w(5); w(3); w.close(); assert set(records.readings(w.run).step) <= {3, 5}",
        a_step_of_text=watch + "Watch('w', net, x)('x')",
        a_step_over_64_bits=watch + "Watch('w', net, x)(2**64)",
        a_step_of_NaN=watch + "Watch('w', net, x)(math.nan)",
        metrics_a_list=watch + "Watch('w', net, x)(1, metrics=[1])",
        metrics_of_NaN=watch + "w = Watch('w', net, x, measurements=['weights']); w(1, metrics={'a': math.nan, 'b': math.inf}); w.close()",
        metrics_of_formulas=watch + "w = Watch('w', net, x, measurements=['weights']); w(1, metrics={'=1+1': 1.0}); w.close(); assert '\\n=1' not in records.to_csv(records.metrics(w.run)) and ',=1' not in records.to_csv(records.metrics(w.run))",
        metrics_that_are_images=watch + "Watch('w', net, x)(1, metrics={'a': x})",
        metrics_of_step=watch + "w = Watch('w', net, x, measurements=['weights']); w(1, metrics={'step': 7.0, 'epoch': 9.0}); w.close(); f = records.metrics(w.run); assert set(f['step']) == {1}, f",
        a_status_x=watch + "w = Watch('w', net, x, measurements=['weights']); w.close('x')",
        closed_twice=watch + "w = Watch('w', net, x, measurements=['weights']); w.close(); w.close('failed'); assert w.run.state['status'] == 'finished'",
        called_when_closed=watch + "w = Watch('w', net, x, measurements=['weights']); w.close(); w(1)",
        the_folder_is_deleted=watch + "import shutil\nw = Watch('w', net, x, measurements=['weights']); w(1); shutil.rmtree('w'); w(2)",
        the_folder_is_moved=watch + "w = Watch('w', net, x, measurements=['weights']); w(1); Path('w').rename('v'); w(2)",
        another_network=watch + "Watch('w', net, x, measurements=['weights']).close(); Watch('w', nn.Linear(12, 3), x.flatten(1))",
        inputs_of_other_kind=watch + "Watch('w', net, 'x')",
    )
    callback = "from lightning.pytorch import Trainer\nfrom repro import MeasureCallback\n"
    yield from _calls(
        "repro.MeasureCallback",
        ("refused", "handled"),
        no_images=callback + "MeasureCallback(None, y)",
        a_text=callback + "MeasureCallback(x, y, measurements='weights')",
        an_unknown_one=callback + "MeasureCallback(x, y, measurements=['x'])",
        every_0=callback + "MeasureCallback(x, y, every_n_epochs=0)",
        every_minus_1=callback + "MeasureCallback(x, y, every_n_epochs=-1)",
        every_half=callback + "MeasureCallback(x, y, every_n_epochs=0.5)",
        steps_of_x=callback + "MeasureCallback(x, y, at_steps='x')",
        steps_negative=callback + "MeasureCallback(x, y, at_steps=[-1])",
        layers_0=callback + "MeasureCallback(x, y, layers=[0])",
        labels_short=callback + "MeasureCallback(x, y[:2])",
    )
    yield from _calls(
        "modules by name",
        REFUSED,
        depth_text="repro.ResNet('twenty')",
        depth_0="repro.ResNet(0)",
        depth_negative="repro.PlainNet(-20)",
        depth_true="repro.PlainNet(True)",
        depth_half="repro.ResNet(20.5)",
        depth_huge="repro.ResNet(10**9)",
        no_depth="repro.ResNet(None)",
        width_0="repro.ResNet(20, width=0)",
        width_text="repro.ResNet(20, width='4')",
        classes_0="repro.ResNet(20, num_classes=0)",
        channels_minus_1="repro.ResNet(20, in_channels=-1)",
        a_rate_of_text="repro.ResNet(20, learning_rate='x')",
        a_rate_of_NaN="repro.ResNet(20, learning_rate=math.nan)",
        a_rate_of_None="repro.ResNet(20, learning_rate=None)",
        an_optimiser_x="repro.ResNet(20, optimizer='x')",
        milestones_a_number="repro.ResNet(20, milestones=3)",
        neurons_minus_1="repro.SkipToOutput('resnet20', neurons=-1)",
        neurons_huge="repro.SkipToOutput('resnet20', neurons=10**15)",
        no_network="repro.SkipToOutput('resnet2000x', neurons=5)",
        images_flat="repro.ResNet(20)(torch.randn(3, 8, 8))",
        data_batch_0="repro.MNIST5k(batch_size=0)",
        data_batch_text="repro.MNIST5k(batch_size='x')",
        data_size_huge="repro.MNIST5k(train_size=10**9).setup('fit')",
        data_root="repro.CIFAR10(root='nowhere').setup('fit')",
        data_root_a_file="repro.ImageFolder(root='small.yaml').setup('fit')",
        data_seed="repro.MNIST5k(seed='x')",
        probe_huge="d = repro.MNIST5k(); d.setup('fit'); d.probe(10**9)",
    )
    yield from _calls(
        "repro.build and restore",
        REFUSED,
        a_missing_file="repro.build('nowhere.yaml')",
        a_folder="repro.build('runs')",
        a_network_of_numbers="repro.build(model={'network': 3})",
        a_seed_of_text="repro.build(seed='x')",
        a_seed_of_64_bits="repro.build(seed=2**64)",
        a_group_that_is_none="repro.build(modle={'network': 'resnet20'})",
        a_group_of_text="repro.build(model='resnet20')",
        trust_a_text="repro.build('small.yaml', trust='x')",
        nothing="repro.restore('')",
        a_file_of_text="repro.restore('small.yaml')",
        a_folder_of_runs="repro.restore('runs')",
        another_network="repro.restore(RUN, model={'network': 'resnet8'})",
        another_width="repro.restore(RUN, model={'hidden': [9]})",
        missing_data="repro.restore(RUN, data={'root': 'nowhere', 'name': 'CIFAR10'})",
    )
    yield from _calls(
        "repro.records",
        ("refused", "handled"),
        metrics_of_nowhere="records.metrics('nowhere')",
        metrics_of_a_file="records.metrics('small.yaml')",
        readings_of_a_folder="records.readings('runs')",
        spectra_of_none="records.spectra(RUN)",
        runs_by_a_text="assert len(records.find_runs('runs')) == len(records.find_runs(['runs'])) > 0",
        runs_of_nothing="assert records.find_runs([]) == []",
        kept_over_itself="r = records.RunDirectory.open(RUN); records.keep(r, r.path); assert r.state['status'] == 'finished' and r.saved_checkpoints()",
        a_frame_of_formulas="assert not records.to_csv(pd.DataFrame({'=a': ['=b'], 'c': ['+d'], 'e': [-1]})).replace('\\n', ',').startswith('='), records.to_csv(pd.DataFrame({'=a': ['=b']}))",
        a_frame_of_quotes="import csv, io\nt = records.to_csv(pd.DataFrame({'a': ['x\\ny\"z,', '\\t=1', ' =1', '\\r=1']})); assert len(list(csv.reader(io.StringIO(t)))) == 5, t",
        a_tolerance_of_NaN="records.derived(records.spectra(RUN), math.nan)",
        metrics_of_a_stranger="Path(RUN, 'metrics.jsonl').write_text('{\"step\": 1, \"epoch\": 0, \"metrics\": {\"step\": 5, \"epoch\": 7}}\\n'); f = records.metrics(RUN); assert set(f['step']) == {1} and set(f['epoch']) == {0}, f",
        a_report_of_texts="from repro.report.build import build\nbuild('runs', 'page')",
        a_report_of_paths="from repro.report.build import build\nbuild(['runs'], 'page')",
    )


def values() -> Iterator[Case]:
    """Options of the commands that were not tried, in careless spellings."""
    for command, flag, texts in (
        (["measure", RUN, "--probe-size", "16"], "--seed", ("-1", str(2**63), str(2**64), "x", "1.5", "")),
        (["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "4"], "--seed", ("-1", str(2**63), str(2**64))),
        (["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "4"], "--num-classes", ("0", "-1", "1", "9" * 30, "1e3")),
        (["measure", RUN, "--probe-size", "16"], "--num-classes", ("5",)),
        (["measure", RUN, "--probe-size", "16"], "--held-out", ("nowhere", "images/val")),
        (["data", "show", "MNIST5k", "--images", "4"], "--seed", ("-1", str(2**64), "x", "1e3")),
        (["data", "show", "MNIST5k"], "--images", ("0", "-1", "4001", "9" * 30)),
        (["theory", "nguyen-tables"], "--seed", ("-1", str(2**64), "x", "0x1")),
        (["demo", "--jobs", "1"], "--seed", ("-1", str(2**64), "x", "0 0")),
        (["demo"], "--jobs", ("0", "-1", "x", "9" * 30)),
        (["demo"], "--budget", ("0", "-1", "nan", "inf", "1e-9")),
        (["study", "run", "small.yaml", "--jobs", "1"], "--task", ("-1", "99", "x", "9" * 30)),
        (["study", "run", "small.yaml", "--jobs", "1"], "--preset", ("", "x", "cpu ", "CPU", "../x")),
        (["study", "run", "small.yaml", "--jobs", "1"], "--seed", (str(2**31), str(2**64), "0x1", "1_0", "٣", "x")),
        (["study", "run", "small.yaml"], "--jobs", ("1e3", "9" * 30, "1.5")),
        (["study", "run", "small.yaml", "--jobs", "1"], "--trainer.checkpoint_every_n_minutes", ("0", "-1", "nan", "x")),
        (["runs", "clean"], "--keep", ("-1", "x", "9" * 30, "1.5")),
        (["landscape", RUN], "--points", ("2.5", "٣", "1_0", "")),
        (["landscape", RUN, "--points", "3"], "--part", ("1/0", "٣/4", "1 / 2", "1/2/3", "")),
        (["spectra", RUN], "--tolerance", ("0", "1e-400", "")),
        (["wandb-sync", "runs", "--dry-run"], "--project", ("", "a/b", "x" * 300, "a\nb", "%2e%2e", "é")),
        (["wandb-sync", "runs", "--dry-run"], "--entity", ("", "a/b", "x" * 300, "../..")),
        (["card", RUN, "--out", "card"], "--push", ("me/--help", "me/.git", "-x/y", "me/x" + "\u202e", "a" * 97 + "/b")),
    ):
        for text in texts:
            yield Case(f"a value for {flag} of {command[0]} {command[1] if command[0] in ('study', 'data', 'runs') else ''}".strip(), repr(text[:20]) + (" by name" if "timm/resnet10t" in command else ""), [*command, f"{flag}={text}"], _spectra({}))
    for key, texts in {
        "trainer.max_epochs": ("010", "0x10", "0b11", "1_000", "+5", "1e1", "1.0", "'5'", "~", "yes", "1:30"),
        "training.learning_rate": ("1e-3", "1E-3", ".5", "5.", "+.5", "1.0e+3", "1e", "0x1p-3", "1,5", "'0.1'", "0.1_0", "yes", ".inf", "-.0"),
        "measure.spectra": ("yes", "no", "on", "off", "y", "n", "True", "TRUE", "tRUE", "1", "'true'"),
        "name": ("no", "1e3", "0123", "12", "1_000", "null", "~", "2020-01-01", "12:30", "'2020-01-01'", "!!str 3", "0x1F", ".5", "on"),
        "model.network": ("no", "1e3", "[resnet20]", "!!str resnet20"),
        "model.hidden": ("8", "[8.0]", "[08]", "['8']", "[true]", "8,8", "[[8]]", "{8: 8}", "[]", "[0]", "[-8]", "[1e1]"),
        "data.root": ("3", "no", "~", "[a]", "~/data", "$HOME"),
        "log.project": ("no", "3", "a/b", "'a\tb'"),
    }.items():
        for text in texts:
            yield Case(f"{key} in YAML", text, [*_without_flag(key), "--seed", "9", "--config", "c.yaml"], _write("c.yaml", f"{key}: {text}\n"), check=_says_its_value)


def _without_flag(key: str) -> list[str]:
    """The usual command without this flag, which would win."""
    if (flag := f"--{key}") not in FIT:
        return FIT
    place = FIT.index(flag)
    return [*FIT[:place], *FIT[place + 2 :]]


def _says_its_value(world: World) -> str | None:
    """A run's configuration has a value that whoever wrote the file can have meant."""
    meant = {"010": (), "0b11": (3,), "0x10": (16,), "1_000": (1000, "1_000"), "1e1": (10,), "1e3": (1000.0, "1e3"), "0123": (), "no": (False, "no"), "yes": (True,), "off": (False,), "on": (True,), "12": (12, "12"), "1:30": (), "8": ([8],), "[08]": (), "1,5": (), "~": (None,), "[true]": (), "0x1F": ()}
    key, _, text = (world / "c.yaml").read_text().strip().partition(": ")
    names = {path.name for path in (world / "runs").glob("*/*") if "seed9" in path.name or path.name.startswith(text)}
    for name in names:
        config = yaml.safe_load((next((world / "runs").glob(f"*/{name}")) / "config.yaml").read_text())
        group, _, inner = key.partition(".")
        value = config[group][inner] if inner else config[group]
        if text in meant and value not in meant[text] and value != yaml.safe_load(text):
            return f"{text} was taken for {value!r}"
    return None


def pictures() -> Iterator[Case]:
    """Images of kinds that were not tried."""
    draw = np.random.default_rng(2)
    pixels = draw.integers(0, 256, (20, 24, 3), np.uint8)

    def bytes_of(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 20), **options: Any) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).resize(size).save(buffer, kind, **options)
        return buffer.getvalue()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    png = bytes_of("PNG")
    frames = [Image.fromarray(draw.integers(0, 256, (20, 24, 3), np.uint8)) for _ in range(3)]
    kinds: dict[str, tuple[str, bytes]] = {
        "an animated GIF": ("x.gif", bytes_of("GIF", save_all=True, append_images=frames)),
        "an animated PNG": ("x.png", bytes_of("PNG", save_all=True, append_images=frames)),
        "an animated WebP": ("x.webp", bytes_of("WEBP", save_all=True, append_images=frames)),
        "a TIFF of pages": ("x.tif", bytes_of("TIFF", save_all=True, append_images=frames)),
        "one pixel": ("x.png", bytes_of("PNG", size=(1, 1))),
        "one column": ("x.png", bytes_of("PNG", size=(1, 400))),
        "one row of 30,000": ("x.png", bytes_of("PNG", size=(30_000, 1))),
        "a JPEG called .png": ("x.png", bytes_of("JPEG")),
        "a GIF called .jpg": ("x.jpg", bytes_of("GIF")),
        "a PDF called .png": ("x.png", b"%PDF-1.4\n"),
        "an SVG called .png": ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        "PostScript called .jpg": ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(PWNED) (w) file closefile showpage\n"),
        "a progressive JPEG": ("x.jpg", bytes_of("JPEG", progressive=True)),
        "a CMYK JPEG": ("x.jpg", bytes_of("JPEG", "CMYK")),
        "a palette with one transparent": ("x.png", bytes_of("PNG", "P", transparency=0)),
        "a grey one with alpha": ("x.png", bytes_of("PNG", "LA")),
        "16 bit grey": ("x.png", bytes_of("PNG", "I;16")),
        "a text of a GB in it": ("x.png", png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27))) + png[33:]),
        "a profile that is none": ("x.png", png[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(b"no profile")) + png[33:]),
        "bytes after its end": ("x.png", png + b"PK\x03\x04 evil" * 99),
        "no pixels": ("x.png", png[:33] + chunk(b"IEND", b"")),
        "a size of 0": ("x.png", png[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)) + png[33:]),
        "EXIF of odd kind": ("x.jpg", bytes_of("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\xff\xff\0\0\0\0\0\0")),
        "EXIF cut": ("x.jpg", bytes_of("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
        "a BMP": ("x.bmp", bytes_of("BMP")),
        "a PPM of 16 bit": ("x.ppm", b"P6 4 4 65535\n" + bytes(96)),
        "a PPM without pixels": ("x.ppm", b"P6 99999 99999 255\n"),
    }
    for name, (file, content) in kinds.items():
        place = _write(f"images/train/a/{file}", content)
        yield Case("images, lately: checked", name, ["data", "check", "ImageFolder", "--root", "images"], place, check=_nothing_outside)
        yield Case("images, lately: trained on", name, [*FOLDER, "--data.workers", "0"], place, check=_nothing_outside)


def _restless(folder: str, seconds: float = 30.0, *, gone: bool = False) -> None:
    """Runs that are moved away and back, or deleted and made again, while they are read."""
    path = Path(folder)
    paths = [path for path in path.glob("*") if path.is_dir() and not path.is_symlink()]
    spare = Path("spare")
    if gone:
        for each in paths:
            shutil.copytree(each, spare / each.name, symlinks=True)

    def move() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for each in paths:
                if gone:
                    shutil.rmtree(each, ignore_errors=True)
                    time.sleep(0.002)
                    shutil.copytree(spare / each.name, each, symlinks=True, dirs_exist_ok=True)
                else:
                    away = each.with_name(f"{each.name}-away")
                    each.rename(away)
                    time.sleep(0.002)
                    away.rename(each)
            time.sleep(0.002)

    threading.Thread(target=move, daemon=True).start()


def moving() -> Iterator[Case]:
    """Runs that move, or are deleted and copied back, while they are read."""
    for name, command in {
        "report": REPORT,
        "runs list": ["runs", "list"],
        "runs compare": ["runs", "compare", "runs"],
        "runs clean": ["runs", "clean"],
        "status": ["study", "status", "small.yaml"],
        "plan": ["study", "plan", "small.yaml"],
        "study report": ["study", "report", "small.yaml"],
        "forecast": ["study", "forecast", "runs"],
        "sync": ["wandb-sync", "runs", "--dry-run"],
        "keep": ["study", "keep", "small.yaml"],
        "card": ["card", RUN, "--out", "card"],
        "test": ["test", RUN],
        "show": ["runs", "show", RUN],
        "measure": ["measure", RUN, "--probe-size", "16"],
    }.items():
        for folder in (STUDY, "runs/single"):
            if (name in ("status", "plan", "study report", "keep") and folder != STUDY) or (name in ("card", "test", "show", "measure") and folder == STUDY):
                continue
            for gone in (False, True):
                yield Case("runs that move while they are read", f"{name}, {folder}{', deleted' * gone}", command, before=partial(_restless, folder, gone=gone))


KINDS = (calls, values, pictures, moving)


def table() -> list[Case]:
    """All of them."""
    return [case for kind in KINDS for case in kind()]
