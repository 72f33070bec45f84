"""`repro study forecast`: what kept records say of first readings and outcomes."""

from __future__ import annotations

from pathlib import Path

from repro.commands.options import Request, argument, option
from repro.errors import UserError, leave_out
from repro.studies.plan import RESULTS


class Forecasting(Request):
    """What `repro study forecast` is asked for."""

    paths: tuple[Path, ...] = argument("folders of runs", nargs="*", default=(RESULTS,), metavar="DIR")
    out: Path | None = option("folder for forecast.md and forecast.svg", default=None)


def forecast(request: Forecasting) -> int:
    """Print the table; write it and the figure, if a folder is named."""
    from repro.figures import to_svg
    from repro.records import put
    from repro.report import cause
    from repro.report.tables import to_markdown
    from repro.studies.forecast import cases, forecasts

    found, damage = cases(request.paths)
    for what in damage:
        leave_out(what)
    if not (told := forecasts(found)):
        raise UserError(
            f"{len(found)} runs in {', '.join(map(str, request.paths))} have ended and were measured before training; "
            "a forecast needs 8 of two studies, of which some train and some do not"
        )
    text = to_markdown(cause.table(told))
    print(f"{len(found)} runs of {len({case.study for case in found})} studies\n\n{text}")
    if request.out is not None:
        figure = to_svg(cause.drawn(told))
        put({"forecast.md": f"{text}\n".encode(), "forecast.svg": figure.encode()}, request.out)
    return 0
