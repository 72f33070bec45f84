"""Matplotlib's SVG without what nobody sees: a third of the bytes for the same picture.

Styles that recur become classes, coordinates are rounded to a tenth of a point (0.035 mm), names are short, and
groups, identifiers and spaces without use are left out.
"""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

_SVG, _LINKS = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_USE = f"{{{_SVG}}}use"
_HREF = f"{{{_LINKS}}}href"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_SERIES = re.compile(
    r"(?:finite|alone|infinite|singular|beyond|non-finite|band|core)-(.*)-(?:line|faint|points)", re.DOTALL
)
"""The identifier of what was drawn of one network: what it is, the network, and when."""
_MEASURES = ("d", "x", "y", "width", "height", "transform")
_SPEAKING = (f"{{{_SVG}}}text", f"{{{_SVG}}}tspan", f"{{{_SVG}}}style")
ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _LINKS)


def slim(svg: str, networks: Sequence[str] = ()) -> str:
    """An SVG of Matplotlib's, made small; what was drawn of one of the networks has its number (``data-network``)."""
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in parent.findall(f"{{{_SVG}}}metadata"):
            parent.remove(child)
    _identifiers(root, networks)
    classes: dict[str, str] = {}
    for element in root.iter():
        _spaces(element)
        _measures(element)
        if element is not root and (style := element.attrib.pop("style", None)):
            element.set("class", classes.setdefault(style.replace(": ", ":").replace("; ", ";"), _name(len(classes))))
    _ungroup(root)
    sheet = next(root.iter(f"{{{_SVG}}}style"))
    sheet.text = (sheet.text or "") + "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return ET.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _name(number: int) -> str:
    """In letters: a, b, to z, ba, bb."""
    letters = ""
    while True:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
        if not number:
            return letters


def _spaces(element: ET.Element) -> None:
    if element.tag not in _SPEAKING:
        element.text = None
    element.tail = None


def _measures(element: ET.Element) -> None:
    """Round what says where and how large; the root and pictures, whose pixels are stretched, keep theirs."""
    if element.tag in (f"{{{_SVG}}}svg", f"{{{_SVG}}}image"):
        return
    for key in _MEASURES:
        if (value := element.get(key)) is not None:
            element.set(key, _path(value) if key == "d" else _NUMBER.sub(lambda match: _short(float(match[0])), value))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]


def _short(value: float, digits: int = 1) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    if text in ("-0", ""):
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _path(drawn: str) -> str:
    """A path, in steps from point to point where it has straight lines alone."""
    words = drawn.split()
    numbers = [abs(float(word)) for word in words if word[-1].isdigit()]
    digits = 1 if max(numbers, default=0) > 20 else 2  # marks are small and drawn many times
    if set(drawn) & set("QCSTAHV"):
        return " ".join(_short(float(word), digits) if word[-1].isdigit() else word for word in words)
    steps, before, letter = [], (0, 0), ""
    scale = 10**digits
    pending = iter(words)
    for word in pending:
        if word == "z":
            steps.append("z")
            letter = ""
            continue
        here = (round(float(next(pending)) * scale), round(float(next(pending)) * scale))
        if word == "M":
            steps.append(f"M{_pair(here[0] / scale, here[1] / scale, digits)}")
        elif here != before:
            step = _pair((here[0] - before[0]) / scale, (here[1] - before[1]) / scale, digits)
            steps.append(step if letter == "L" and step[0] == "-" else f"{' ' if letter == 'L' else 'l'}{step}")
        else:
            continue
        before, letter = here, word
    return "".join(steps)


def _pair(x: float, y: float, digits: int) -> str:
    first, second = _short(x, digits), _short(y, digits)
    return f"{first}{second}" if second[0] == "-" else f"{first} {second}"


def _identifiers(root: ET.Element, networks: Sequence[str]) -> None:
    """Short ones for what is referred to, none for the rest but the networks' numbers."""
    used: dict[str, str] = {}
    names: Iterator[str] = (_name(number) for number in itertools.count())
    for element in root.iter():
        for key, value in element.attrib.items():
            for target in [value[1:]] if key == _HREF else _REFERENCE.findall(value):
                if target not in used:
                    used[target] = next(names)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in used:
                    element.set("id", used[value])
                else:
                    del element.attrib["id"]
                    if (series := _SERIES.fullmatch(value)) and series[1] in networks:
                        element.set("data-network", str(networks.index(series[1])))
            elif key == _HREF and value.startswith("#"):
                element.set(key, f"#{used[value[1:]]}")
            elif "url(#" in value:
                element.set(key, _REFERENCE.sub(lambda match: f"url(#{used[match[1]]})", value))


def _ungroup(parent: ET.Element) -> None:
    """Put the children of groups that say nothing in the groups' place, and a row of like marks under one class."""
    children: list[ET.Element] = []
    for child in list(parent):
        _ungroup(child)
        bare = child.tag == f"{{{_SVG}}}g" and not child.attrib
        children += list(child) if bare else [child]
    parent[:] = []
    for style, alike in itertools.groupby(children, lambda child: child.get("class") if child.tag == _USE else None):
        marks = list(alike)
        if style is not None and len(marks) > 2:
            group = ET.SubElement(parent, f"{{{_SVG}}}g", {"class": style})
            for mark in marks:
                del mark.attrib["class"]
            group.extend(marks)
        else:
            parent.extend(marks)
