"""Annotations of pictures in XML, as PASCAL VOC has them and others after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN, shortened
from posepile.formats.text_files import read_xml

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class VocObject:
    """An object in a picture.

    Attributes:
        name: Of its class.
        difficult: Hard to recognise.
        truncated: It goes on outside of its box.
        box: First column and row, and those behind the last, from 0. (In the file they count from
            1, and the last ones belong to the object.)
    """

    name: str
    difficult: bool
    truncated: bool
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class VocAnnotation:
    """What is in a picture.

    Attributes:
        picture: File name of the picture.
        segmented: There is a label image of its objects, whose numbers are places in ``objects``,
            from 1.
        objects: In the order of the file.
    """

    picture: str
    segmented: bool
    objects: tuple[VocObject, ...]


def read_voc(path: str | os.PathLike) -> VocAnnotation:
    """Returns what is annotated in a picture.

    >>> box = "<xmin>1</xmin><ymin>3</ymin><xmax>10.2</xmax><ymax>9</ymax>"
    >>> thing = f"<object><name>dog</name><bndbox>{box}</bndbox></object>"
    >>> text = f"<filename>a.jpg</filename><segmented>1</segmented>{thing}"
    >>> _ = (folder / "a.xml").write_text(f"<annotation>{text}</annotation>")
    >>> read_voc(folder / "a.xml").objects[0].box
    (0, 2, 10, 9)

    Raises:
        CorruptInput: Missing, damaged, or something else.
    """
    root = read_xml(path)
    picture = (root.findtext("filename") or "").strip()
    if not picture or picture != os.path.basename(picture) or picture.startswith("."):
        text = f"filename: found {shortened(picture)}; expected the name of a picture"
        raise CorruptInput(path, text, hint=AGAIN)
    # Directly below the root: parts of people have names and boxes as well.
    objects = tuple(_object(path, k, found) for k, found in enumerate(root.findall("object"), 1))
    return VocAnnotation(picture, _flag(path, "", root, "segmented"), objects)


def _object(path: str | os.PathLike, k: int, found: Element) -> VocObject:
    place = f"object {k}: "
    name = (found.findtext("name") or "").strip()
    if not name:
        raise CorruptInput(path, f"{place}found no name; expected that of its class", hint=AGAIN)
    texts = [found.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        x0, y0, x1, y1 = (float(text or "") for text in texts)
        if not (0.5 <= x0 <= x1 + 1 <= _LARGEST and 0.5 <= y0 <= y1 + 1 <= _LARGEST):
            raise ValueError
    except ValueError:
        text = f"{place}bndbox: found {shortened(texts)}; expected {', '.join(_SIDES)} from 1"
        raise CorruptInput(path, text, hint=AGAIN) from None
    box = (round(x0) - 1, round(y0) - 1, round(x1), round(y1))
    flags = (_flag(path, place, found, flag) for flag in ("difficult", "truncated"))
    return VocObject(name, *flags, box)


def _flag(path: str | os.PathLike, place: str, found: Element, name: str) -> bool:
    """A flag; one that is not there is not set."""
    text = (found.findtext(name) or "0").strip()
    if text not in ("0", "1"):
        found_text = f"{place}{name}: found {shortened(text)}; expected 0 or 1"
        raise CorruptInput(path, found_text, hint=AGAIN)
    return text == "1"
