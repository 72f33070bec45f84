"""Tables, captions and the page, made from run directories. Cheap to import: drawing is imported when it is needed."""

from repro.report.build import build, build_all

__all__ = ["build", "build_all"]
