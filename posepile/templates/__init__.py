"""Dataset folders to begin with, one for each shape, and how they are copied.

A template is a complete dataset called ``newdata``; a copy has another name in its place.
"""

from __future__ import annotations

import keyword
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from posepile.ds import dataset_names
from posepile.errors import UsageError
from posepile.files import replacing, require_place

PLACEHOLDER = "newdata"
_HOME = "posepile.ds."  # where modules of datasets are found, wherever their folder lies
SHAPES = ("multiview", "stills", "coco", "videos")


def new_dataset(name: str, like: str, at: Path, filled: Mapping[str, str] | None = None) -> Path:
    """Makes the folder of a dataset and returns it.

    Args:
        name: Of the dataset and of its folder.
        like: One of :data:`SHAPES`.
        at: Folder in which it is made.
        filled: File -> its text, of those that are not as in the template.

    Raises:
        UsageError: No proper name, or one that is taken; or no folder can be made there.
    """
    if keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a dataset: it is a word of Python")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise UsageError(
            f"{name!r} cannot name a dataset: expected a small letter, then small letters, digits "
            "and '_', e.g. mydata"
        )
    if name == "cache" or name.endswith("_work"):
        raise UsageError(
            f"{name!r} cannot name a dataset: its raw folder would be a working folder of others; "
            "choose another name"
        )
    if like not in SHAPES:
        raise UsageError(f"--like {like}: expected {', '.join(SHAPES)}")
    folder = Path(os.path.abspath(at)) / name
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists; choose another name or folder, nothing is overwritten")
    if name in dataset_names():
        raise UsageError(f"there is a dataset {name} already (posepile list); choose another name")
    above = next(p for p in folder.parents if os.path.lexists(p))
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        found = "cannot be written to" if above.is_dir() else "is no folder"
        raise UsageError(f"--at {at}: {above} {found}; name a folder where {name} can be made")
    require_place(folder, f"--at {at}")
    template = Path(__file__).parent / like
    with replacing(folder) as temporary:
        for source in sorted(template.iterdir()):
            if source.is_file():
                target = temporary / source.name
                text = source.read_text().replace(f"posepile.templates.{like}.", f"{_HOME}{name}.")
                text = text.replace(PLACEHOLDER, name)
                target.write_text((filled or {}).get(source.name, text))
                target.chmod(0o755 if source.suffix == ".sh" else 0o644)
    return folder


def next_steps(folder: Path, raw: Path | None = None) -> list[str]:
    """Returns what to do with a new folder, as lines for a person.

    Args:
        folder: The folder.
        raw: The recordings that have been looked at to make it; None = there were none.
    """
    name, above = folder.name, shlex.quote(str(folder.parent))
    listed = name in dataset_names()
    others = ":$POSEPILE_DATASETS" if os.environ.get("POSEPILE_DATASETS") else ""
    set_path = f"  export POSEPILE_DATASETS={above}{others}    # so that it is found"
    export = [] if listed else [set_path]
    facts = next(n for n in ("facts.py", "main.py") if (folder / n).is_file())
    edit = f"  $EDITOR {shlex.quote(str(folder / facts))}    # facts first"
    check = f"  posepile check {name}"
    if raw is None:
        first = f"{folder}: a complete dataset with made-up content. Now"
        return [first, *export, check, edit]
    first = f"{folder}: a complete dataset of these recordings. Now"
    place = shlex.quote(os.path.abspath(raw))
    after = [
        f'  ln -s {place} "$DATA_ROOT"/{name}    # where its raw files are',
        f"  bash {shlex.quote(str(folder / 'main.sh'))}",
        f"  posepile view {name}",
    ]
    return [first, *export, edit.replace("facts first", "see whether it is all true"), *after]
