"""The tests run with checks of every signature, also of the constructors of dataclasses."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from repro.config.schema import require_name
from repro.figures.panels import Trace
from repro.report.sources import ReportCell
from repro.training.losses import square

WRONG: Any = 3


def test_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="require_name"):
        require_name(WRONG, "a run")
    with pytest.raises(TypeError, match="label"):
        ReportCell(label=WRONG, seed=0, name="x", run=None)


def test_another_shape_is_refused() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="labels"):
        square(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(jaxtyping.TypeCheckError, match="y"):
        Trace(label="net", x=np.zeros(3), y=np.zeros(2))
