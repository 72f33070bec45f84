"""The measurements that yield condition numbers; `repro.measurements.conditioning` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.measurements.description import FigureSpec, Measurement, Quantities
from repro.measurements.kappa import PERFECTLY, Kappa, first_layer, first_layer_growth, in_words

if TYPE_CHECKING:
    import pandas as pd

_TAKE = "repro.measurements.conditioning:"
_CHANNELS = ("output", "input")
_CHANNEL, _MATRIX = "channel mode", "matrix (n × N)"


def _map(measurement: str, heading: str, caption: str) -> FigureSpec:
    return FigureSpec(
        name=f"{measurement}-map",
        heading=f"{heading}, layer by layer over training",
        caption=f"""{caption} as colour, for every layer (upwards) and every measurement (to the right; epoch 0 is
            before training).""",
        draw="repro.figures.conditioning:layer_time_map",
        argument=measurement,
        chart=False,
    )


def _first_layer(readings: pd.DataFrame) -> dict[str, float]:
    growth = first_layer_growth(readings)
    if growth is None:
        return {}
    return {"first_layer_growth": growth, "first_layer_weights": float(first_layer(readings)["sigma_max"].iloc[-1])}


_WEIGHTS = Kappa(
    measurement="weights",
    modes=_CHANNELS,
    largest=True,
    key="weights",
    words={
        "infinite": "layers whose weights have infinite κ",
        "singular": f"layers whose weights are {PERFECTLY}",
        "beyond_float32": f"layers whose weights have infinite κ but are not {PERFECTLY}",
        "median": "median κ of the weights",
        "trend": "rank correlation of the weights' κ with depth",
        "kappa": "κ of the weights of layer {}",
    },
    title="Weights",
    x="weight layer, from the input",
)
WEIGHTS = Measurement(
    name="weights",
    says="κ of the weights of every layer, in every mode",
    take=f"{_TAKE}weights",
    kappas=(_WEIGHTS,),
    quantities=(
        Quantities(
            words={
                "first_layer_growth": "growth of the first layer's σmax",
                "first_layer_weights": "σmax of the first layer's weights at the end",
            },
            values=_first_layer,
        ),
    ),
    figures=(
        FigureSpec(
            name="weights",
            heading="Conditioning of the weights",
            caption="""Condition number κ = σmax / σmin of the weights of every layer: the larger of its output- and
                input-channel modes. Thin: before training; thick: at the last measurement.""",
            panels=(_WEIGHTS,),
        ),
        _map("weights", "Conditioning of the weights", "The same κ of the weights"),
    ),
)


def _of_pass(
    measurement: str, key: str, matrix_key: str, title: str, words: dict[str, str], as_matrix: dict[str, str]
) -> tuple[Kappa, Kappa]:
    """κ of tensors of a pass, in the channel mode and as Definition 2's matrix."""
    channel = Kappa(
        measurement=measurement,
        modes=("channel", "matrix"),
        key=key,
        words=words,
        title=f"{title}, {_CHANNEL}",
        found="At the last measurement, in the channel mode",
    )
    matrix = Kappa(
        measurement=measurement,
        modes=("matrix",),
        key=matrix_key,
        words=as_matrix,
        title=f"{title}, {_MATRIX}",
        found="As a matrix",
    )
    return channel, matrix


_REPRESENTATIONS = _of_pass(
    "representations",
    "representations",
    "matrix",
    "Representations",
    {
        "infinite": "representations with infinite channel-mode κ",
        "singular": f"representations that are {PERFECTLY} in the channel mode",
        "beyond_float32": f"representations with infinite channel-mode κ that are not {PERFECTLY} in it",
        "infinite_to": "last representation with infinite channel-mode κ (but for the pooled one)",
        "median": "median channel-mode κ of the representations",
        "trend": "rank correlation of the representations' channel-mode κ with depth",
        "kappa": "channel-mode κ of representation {}",
    },
    {
        "infinite": "representations with infinite κ as a matrix",
        "singular": f"representations that are {PERFECTLY} as a matrix",
        "beyond_float32": f"representations with infinite κ as a matrix that are not {PERFECTLY}",
        "median": "median κ of the representations as matrices",
        "trend": "rank correlation of the representations' κ as matrices with depth",
        "kappa": "κ of representation {} as a matrix",
    },
)
REPRESENTATIONS = Measurement(
    name="representations",
    says="κ of the input of every weight layer: as a matrix of features by samples, and in the other modes",
    take=f"{_TAKE}representations",
    kappas=_REPRESENTATIONS,
    figures=(
        FigureSpec(
            name="representations",
            heading="Conditioning of the representations",
            caption="""Condition number κ of every hidden representation of the fixed probe batch. Left: in the
                channel mode; right: as a matrix of n features by N samples (Definition 2). Thin: before training;
                thick: at the last measurement.""",
            panels=_REPRESENTATIONS,
        ),
        _map("representations", "Conditioning of the representations", "The channel-mode κ of the representations"),
    ),
)

_OUTPUTS = _of_pass(
    "outputs",
    "outputs",
    "outputs_matrix",
    "Outputs before normalisation",
    in_words("the layers' outputs before normalisation (channel mode)", "channel-mode κ of the output of layer {}"),
    in_words("the layers' outputs before normalisation (as matrices)", "κ of the output of layer {} as a matrix"),
)
OUTPUTS = Measurement(
    name="outputs",
    says="κ of the output of every weight layer, before normalisation and activation",
    take=f"{_TAKE}outputs",
    kappas=_OUTPUTS,
    figures=(
        FigureSpec(
            name="outputs",
            heading="Conditioning of the outputs before normalisation",
            caption="""Condition number κ of the output of every weight layer, before its normalisation and
                activation, on the fixed probe batch. Left: in the channel mode; right: as a matrix of n features by
                N samples.""",
            panels=_OUTPUTS,
        ),
    ),
)


def _of_weights(measurement: str, title: str, found: str, of: str) -> Kappa:
    return Kappa(
        measurement=measurement,
        modes=_CHANNELS,
        largest=True,
        key=measurement,
        words=in_words(f"the {measurement} of the layers' weights", f"κ of the {of} of the weights of layer {{}}"),
        title=title,
        found=found,
    )


_UPDATES = _of_weights("updates", "Updates of the weights", "The update’s", "update")
_GRADIENTS = _of_weights("gradients", "Gradients of the weights", "At the last measurement the gradient's", "gradient")
GRADIENTS = Measurement(
    name="gradients",
    says="κ of the gradient of every layer's weights",
    take=f"{_TAKE}gradients",
    kappas=(_GRADIENTS,),
    figures=(
        FigureSpec(
            name="gradients",
            heading="Conditioning of gradients and updates",
            caption="""Condition number κ of the gradient of every layer's weights (mean cross-entropy of the probe,
                in training mode), and of the update that the optimiser would make with it, with momentum and
                penalty: the larger of the output- and input-channel modes.""",
            panels=(_GRADIENTS, _UPDATES),
            of=("gradients", "updates"),
        ),
    ),
)
UPDATES = Measurement(
    name="updates",
    says="κ of the optimiser's next step W(t) − W(t−1), with momentum and penalty; drawn beside the gradients",
    take=f"{_TAKE}updates",
    kappas=(_UPDATES,),
)

_ERRORS = _of_pass(
    "errors",
    "errors",
    "errors_matrix",
    "Error gradients",
    in_words(
        "the error gradients of the representations (channel mode)",
        "channel-mode κ of the error gradient of representation {}",
    ),
    in_words(
        "the error gradients of the representations (as matrices)",
        "κ of the error gradient of representation {} as a matrix",
    ),
)
ERRORS = Measurement(
    name="errors",
    says="κ of the gradient with respect to every representation",
    take=f"{_TAKE}errors",
    kappas=_ERRORS,
    figures=(
        FigureSpec(
            name="errors",
            heading="Conditioning of the error gradients",
            caption="""Condition number κ of the gradient of the probe's mean cross-entropy with respect to every
                hidden representation (training mode). Left: in the channel mode; right: as a matrix of n features
                by N samples.""",
            panels=_ERRORS,
        ),
    ),
)
