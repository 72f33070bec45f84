"""What every study says of itself."""

from __future__ import annotations

HEADER = {
    "title": "Two networks",
    "question": "Which learns?",
    "paper": "Oyedotun",
    "artefact": "Table 1",
    "expected": "One.",
}
