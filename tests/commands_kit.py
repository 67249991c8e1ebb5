"""The commands that documents, help texts and messages print, and a desk on which they run."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import ROOT
from usage_kit import posepile

from posepile import cli

_BLOCK = re.compile(r"^( *)```(?:bash|sh|shell|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:python -m )?posepile [a-z][^`]*)`")
# What stands for something that a reader has to put in.
_STANDS_FOR = re.compile(r"…|\.\.\.|<[a-z_]+>|\bnewdata\b|\bmy-bucket\b|\b[A-Z][A-Z_]{2,}\b(?!=)")
# In front of a block that is not run, with the reason: <!-- not run: needs a cluster -->
_NOT_RUN = re.compile(r"<!-- not run: ([^>]+) -->\s*$")


class Command(NamedTuple):
    """A command somebody is told to type.

    Attributes:
        place: The document.
        text: One line of shell; lines that end in a backslash are joined.
        not_run: Why it is not run, if the document says so.
    """

    place: str
    text: str
    not_run: str | None = None


def documents() -> list[Path]:
    """Every document that people read."""
    own = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("posepile/**/README.md")]
    return sorted(own)


def in_blocks(path: Path) -> Iterator[Command]:
    """The lines of the shell blocks of a document."""
    place, text = str(path.relative_to(ROOT)), path.read_text()
    for match in _BLOCK.finditer(text):
        reason = _NOT_RUN.search(text[: match.start()])
        for line in re.sub(r"\\\n\s*", "", match[2]).splitlines():
            line = line.strip().removeprefix("$ ")
            if line and not line.startswith("#"):
                yield Command(place, line, reason and reason[1].strip())


def in_text(path: Path) -> Iterator[Command]:
    """The commands between backticks, names of commands alone left out."""
    place = str(path.relative_to(ROOT))
    for match in _INLINE.finditer(_BLOCK.sub("", path.read_text())):
        command = Command(place, " ".join(match[1].split()))
        if len(command.text.split()) > 2 and subcommand(command.text) is not None:
            yield command


def in_helps() -> Iterator[Command]:
    """The examples at the end of the help texts: lines that begin with the program's name."""
    for name, parser in parsers():
        for line in (parser.epilog or "").splitlines():
            if line.strip().startswith("posepile "):
                yield Command(f"posepile {name} --help", line.strip())


def in_main_scripts() -> Iterator[Command]:
    """The commands in the comments of every main.sh; its other lines are run by the contract."""
    for path in sorted(ROOT.glob("posepile/ds/*/main.sh")):
        place = str(path.relative_to(ROOT))
        for line in path.read_text().splitlines():
            match = re.search(r"posepile (eval|plan|view|report|step|run) .*", line)
            if line.startswith("#") and match:
                text = re.split(r"[`),]| gives ", match[0].rstrip("."))[0].strip()
                yield Command(place, f"{text} …" if text.endswith("--pred-path") else text)


def in_messages() -> Iterator[Command]:
    """The commands in the texts of the code; what is put in at run time stands as ``VALUE``."""
    for path in sorted((ROOT / "posepile").rglob("*.py")):
        tree = ast.parse(path.read_text())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        plain = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, documented) and ast.get_docstring(node) is not None
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = []
                for value in node.values:
                    plain.add(id(value))
                    whole = isinstance(value, ast.Constant)
                    parts.append(str(value.value) if whole else "VALUE")
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) in plain:
                    continue
                text = node.value
            else:
                continue
            for match in re.finditer(r"\bposepile ([a-z]+)(( [^\s;,:()]+)*)", text):
                if match[1] in SUBCOMMANDS:
                    yield Command(str(path.relative_to(ROOT)), match[0])


def parsers() -> Iterator[tuple[str, object]]:
    """Name and parser of every command."""
    (commands,) = (
        action for action in cli.make_parser()._actions if hasattr(action, "_name_parser_map")
    )
    yield from commands._name_parser_map.items()


SUBCOMMANDS = dict(parsers())


def subcommand(text: str) -> str | None:
    """The command of the program, None where it is no command."""
    found = re.match(r"(?:python -m )?posepile ([a-z]+)(?=\s|$)", text)
    return found[1] if found and found[1] in SUBCOMMANDS else None


def stands_for_something(text: str) -> bool:
    """Whether a reader has to put something in."""
    return bool(_STANDS_FOR.search(text))


def options_of(text: str) -> list[str]:
    """The options that a command is given."""
    return re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", text)


def known_options(name: str, text: str = "") -> set[str]:
    """The options that a command has, also those of the commands below it that the text names."""
    parser, found = SUBCOMMANDS[name], set()
    todo = [parser]
    for one in todo:
        for action in one._actions:
            found.update(action.option_strings)
            below = getattr(action, "_name_parser_map", {})
            todo += [p for n, p in below.items() if re.search(rf"\b{n}\b", text)]
    return found


class Desk:
    """A folder in which the commands of documents find what they name.

    Attributes:
        folder: Where they run.
        data: ``DATA_ROOT``, with the packed miniatures of some datasets.
    """

    def __init__(self, folder: Path, data: Path):
        self.folder, self.data = folder, data
        folder.mkdir(parents=True)
        for name in ("posepile", "configs", "docs", "benchmarks", "examples"):
            (folder / name).symlink_to(ROOT / name)

    def provide(self, text: str) -> None:
        """Makes the files that a command reads and that are not there yet."""
        for name, make in FILES.items():
            target = self.folder / name
            if re.search(rf"(?<![\w/.]){re.escape(name)}(?![\w.])", text) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                make(self, target)

    def photograph(self) -> Path:
        """A picture of the miniature of COCO."""
        return next((self.data / "coco").rglob("*.jpg"))


def _network(name):
    def make(desk, target):
        shutil.copy(ROOT / "tests" / "networks" / name, target)

    return make


def _picture(desk, target):
    shutil.copy(desk.photograph(), target)


def _aspset_predictions(desk, target):
    from references import aspset

    poses = aspset.truth(desk.data / "aspset", "aspset.official")
    aspset.write_predictions(target, poses, "aspset.official")


def _h36m_predictions(desk, target):
    from references import h36m

    poses = h36m.truth(desk.data / "h36m", "h36m.p1")
    np.savez(target, image_path=[*poses], coords3d_pred_world=np.array([*poses.values()]))


def _human_data(desk, target):
    from imports_kit import human_data, write_pictures

    human_data(target)
    write_pictures(desk.folder / "AGORA" / "images", [f"seq/{i:03d}.jpg" for i in range(4)])


def _human_data_190(desk, target):
    _human_data(desk, target)
    data = dict(np.load(target, allow_pickle=True))
    for name in ("keypoints2d", "keypoints3d"):  # joints again and again, to the full number
        data[name] = data[name][:, np.arange(190) % data[name].shape[1]]
        data[f"{name}_mask"] = np.ones(190, np.uint8)
        data[f"{name}_convention"] = "human_data"
    np.savez(target, **data)


def _coco(desk, target):
    from imports_kit import coco

    path, _ = coco(desk.folder / "coco_files")
    shutil.copy(path, target)
    (desk.folder / "coco_files" / "images").rename(desk.folder / "val2017")


def _shard(desk, target):
    from imports_kit import sam3d, tar

    sam3d(target)
    with tarfile.open(target) as file:
        members = [(m.name, file.extractfile(m).read()) for m in file.getmembers()]
    tar(target, [(name.replace("coco-", f"{target.stem}-"), data) for name, data in members])


def _upstream(desk, target):
    posepile("export", "tdhp", "--to", "upstream", "--out", str(target))
    images = target.with_name("annotations_28ds_images.barecat")
    for path in images.parent.glob(f"{images.name}*"):
        new = path.name.replace("annotations_28ds_images", "images_28ds")
        path.rename(path.with_name(new))


def _mix(desk, target):
    target.write_text("about: two sets\ndatasets: {aspset: {}, tdhp: {}}\n")


def _pickle(desk, target):
    posepile("export", "tdhp", "--to", "pickle", "--out", str(target))
    posepile("export", "tdhp", "--to", "folder", "--out", str(desk.data))


# What commands read, and how it is made.
FILES = {
    "net.onnx": _network("yolov8_nms.onnx"),
    "mine.onnx": _network("yolov8_nms.onnx"),
    "masks.onnx": _network("deeplab.onnx"),
    "detr.onnx": _network("rtdetr_hf.onnx"),
    "a.jpg": _picture,
    "b.jpg": _picture,
    "predictions": _aspset_predictions,
    "pred.npz": _h36m_predictions,
    "a.npz": _human_data,
    "agora_train_smplx.npz": _human_data_190,
    "person_keypoints_val2017.json": _coco,
    "sam/000000.tar": _shard,
    "sam/000001.tar": _shard,
    "annotations_28ds.barecat": _upstream,
    "h36m.pkl": _pickle,
    "mine.yaml": _mix,
}


def words(text: str) -> list[str]:
    """A command as a program gets it; comments are left out."""
    return shlex.split(text, comments=True)
