"""Files of a new dataset folder, filled in with what was found in a folder of recordings."""

from __future__ import annotations

import json
import re
from pathlib import Path

from posepile import templates
from posepile.files import names_in
from posepile.recordings.found import Found
from posepile.terminal import printable

_TEMPLATE = Path(templates.__file__).parent / "videos"


def filled_files(name: str, raw: Path, found: Found) -> dict[str, str]:
    """Returns file -> text of the files of a folder that tell of the recordings.

    Args:
        name: Of the dataset.
        raw: Where the recordings lie.
        found: What was found there.
    """
    files = {
        file: (_TEMPLATE / file).read_text().replace("newdata", name)
        for file in ("facts.py", "miniature.py")
    }
    miniature = files["miniature.py"].replace("posepile.templates.videos.", f"posepile.ds.{name}.")
    takes = tuple(dict.fromkeys([*found.takes[:2], *found.takes[-1:]])) or ("take",)
    form = _form(raw, found)
    miniature = re.sub(r"(?m)^TAKES = .*$", lambda _: f"TAKES = {_text(takes)}", miniature)
    miniature = re.sub(r'(?m)^FORM = "\w+"', lambda _: f'FORM = "{form}"', miniature)
    return {
        "facts.py": _facts(files["facts.py"], found),
        "miniature.py": miniature,
        "sources.yaml": _sources(name, raw, found),
        "joints.yaml": _joints(found),
        "README.md": _readme(name, raw, found),
    }


def _facts(text: str, found: Found) -> str:
    """The template's facts with those that were found in place of its own."""
    facts = found.recordings
    lines = [f"    {_text(joint)}: {_text(label)}," for joint, label in facts.joints.items()]
    if found.left_out:
        some = printable(", ".join(" ".join(label.split()) for label in found.left_out[:12]))
        more = " and more" if len(found.left_out) > 12 else ""
        lines.append(f"    # left out: {some}{more}"[:99])
    joints = "JOINTS = {\n" + "\n".join(lines) + "\n}\n"
    text = re.sub(r"JOINTS = \{\n.*?\n\}\n", lambda _: joints, text, flags=re.DOTALL)
    text = re.sub(r'EDGES = ".*"', lambda _: _edges(found.edges), text)
    splits = {found.takes[-1]: "test"} if len(found.takes) > 1 else {}
    known = {
        "video": facts.video,
        "keypoints": facts.keypoints,
        "calibration": facts.calibration,
        "camera_unit": facts.camera_unit,
        "keypoint_unit": facts.keypoint_unit,
        "axes": facts.axes,
        "rows_per_frame": facts.rows_per_frame,
        "splits": splits,
        "camera_names": dict(facts.camera_names),
    }
    for key, value in known.items():
        text = re.sub(
            rf"(?m)^    {key}=(?:[^,{{]*|\{{.*?\}}),",
            lambda _, key=key, value=value: f"    {key}={_text(value)},",
            text,
            count=1,
        )
    if facts.camera_to_world:
        before = "    keypoint_unit="
        text = text.replace(before, f"    camera_to_world=True,\n{before}", 1)
    if found.up is not None:
        text = re.sub(r"world_up=\([^)]*\)", f"world_up={found.up}", text)
    return text


def _edges(edges: str) -> str:
    if len(edges) < 85:
        return f'EDGES = "{edges}"'
    paths = edges.split(",")
    middle = len(paths) // 2
    first, second = ",".join(paths[:middle]) + ",", ",".join(paths[middle:])
    return f'EDGES = (\n    "{first}"\n    "{second}"\n)'


def _text(value) -> str:
    """A value as Python that ruff would write so."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_text, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def _form(raw: Path, found: Found) -> str:
    """In which form the miniature writes its calibration, so that it is read as that one is."""
    place = raw / found.recordings.calibration.replace("<take>", (found.takes or [""])[0])
    if place.is_dir():
        names = {name.lower() for name in names_in(place)}
        if "cameras.bin" in names:
            return "colmap_binary"
        if "cameras.txt" in names:
            return "colmap"
        return "easymocap" if "intri.yml" in names else "opencv"
    return {".toml": "anipose", ".json": "json"}.get(place.suffix.lower(), "named")


def _sources(name: str, raw: Path, found: Found) -> str:
    facts, calibration = found.recordings, _calibration(raw, found)
    layout = [calibration, facts.keypoints, facts.video]
    lines = [
        f"# Where the raw files of {name} come from; what the keys mean: docs/SOURCES.md.",
        f"dataset: {name}",
        f"page: https://example.org/{name}",
        "licence: not stated",
        "sources:",
        f"  - name: {name}",
        "    manual:",
        f"      url: https://example.org/{name}",
        "      steps: [Link the folder of the recordings here.]",
        f"      places: [{json.dumps(_glob(calibration))}]",
        "layout:",
        *[f"  - {{path: {json.dumps(path)}, min: 1}}" for path in layout],
    ]
    return "\n".join(lines) + "\n"


def _calibration(raw: Path, found: Found) -> str:
    """The calibration's files, of all takes."""
    calibration = found.recordings.calibration
    place = raw / calibration.replace("<take>", (found.takes or [""])[0])
    return f"{calibration}/*" if place.is_dir() else calibration


def _readme(name: str, raw: Path, found: Found) -> str:
    """The template's README with the layout and the direction up that were found."""
    facts = found.recordings
    layout = {
        _calibration(raw, found): "calibration",
        facts.keypoints: "3D key points of one person",
        facts.video: "videos, synchronous",
    }
    width = max(map(len, layout))
    lines = [printable(f"{path:{width}}  {what}") for path, what in layout.items()]
    text = (_TEMPLATE / "README.md").read_text().replace("newdata", name)
    block = "\n".join(["```", *lines, "```"])
    text = re.sub(r"```\n.*?\n```", lambda _: block, text, count=1, flags=re.DOTALL)
    up = "up is not known"
    if found.up is not None:
        axis = max(range(3), key=lambda i: abs(found.up[i]))
        up = f"{'-' * (found.up[axis] < 0)}{'xyz'[axis]} up"
    return text.replace("the calibration, z up;", f"the calibration, {up};")


def _glob(path: str) -> str:
    return re.sub(r"<\w+>", "*", path)


def _joints(found: Found) -> str:
    words = [
        joint if joint == place else f"{joint}={place}" for joint, place in found.places.items()
    ]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) > 95:
            lines.append(line)
            line = "   "
        line += f" {word}"
    head = (_TEMPLATE / "joints.yaml").read_text().partition("  own: >-")[0]
    return head + "  own: >-\n" + "\n".join([*lines, line]) + "\n"
