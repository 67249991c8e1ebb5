"""Names of datasets that users make: one never takes the place of what another command made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from posepile import paths
from posepile.ds import dataset_names
from posepile.errors import PosePileError, UsageError
from posepile.files import names_in
from posepile.store import mixed, reading
from posepile.store.layout import find_index

Kind = Literal["import", "mix", "subset"]

_SAID = {"import": "an import", "mix": "a mix", "subset": "a subset", "": "something else"}


def check_new_name(name: str, kind: Kind, option: str = "--out") -> None:
    """Looks whether a dataset that is to be made may have a name.

    What the same command made under that name may be replaced. A pickle and an archive of that
    name that say of themselves nothing, or that another command made them, may not.

    Args:
        name: The name; ``get_dataset(name)`` is to open it.
        kind: What is to be made.
        option: The option that gives the name, for the message.

    Raises:
        UsageError: It may not; the message says why.
    """
    if not name or name.startswith((".", "-")) or set(name) & set("/\\\0@"):
        raise UsageError(f"{option} {name!r}: expected a name without /, @ and a dot before it")
    if name in dataset_names():
        raise UsageError(
            f"{option} {name}: is that of a dataset with a recipe; take another name, such as "
            f"{name}_{kind}"
        )
    archive, pickle_path = paths.archive_path(name), paths.cache_dir() / f"{name}.pkl"
    places = {}
    if find_index(archive) is not None:
        places[archive] = kind_of_archive(archive)
    if pickle_path.is_file():
        places[pickle_path] = _kind_of_pickle(pickle_path, name, places.get(archive))
    for path, found in places.items():
        if found != kind:
            raise UsageError(
                f"{option} {name}: {path} is there already and no {kind}, but {_SAID[found]}; "
                "take another name"
            )


def import_record(name: str) -> Path:
    """Returns where it stands what an import has made.

    Args:
        name: Of the dataset.
    """
    return paths.work_dir(name) / "import.json"


def kind_of_archive(path: str | Path) -> str:
    """Returns which command made an archive, empty if none of those that take a name.

    Args:
        path: The archive.
    """
    try:
        manifest = reading.read_manifest(path)
    except PosePileError:
        return ""
    if "imported" in manifest:
        return "import"
    copied = manifest.get("subset")
    if not isinstance(copied, dict):
        return ""
    return "mix" if "mix" in copied else "subset"


def _kind_of_pickle(path, name, kind_of_its_archive):
    if mixed.is_mix(path):
        return "mix"
    if kind_of_its_archive is not None:
        return kind_of_its_archive
    if import_record(name).is_file():  # the archive is gone
        return "import"
    root = paths.data_root()
    for other in sorted(names_in(root)):  # of a merged dataset each part has its archive
        if other.startswith(f"{name}_") and other.endswith(".barecat"):
            kind = kind_of_archive(root / other)
            if kind in ("mix", "subset"):
                return kind
    # A mix of which the manifest is damaged, or was written and the pickle not any more.
    return "mix" if mixed.mix_manifest_path(path).is_file() else ""
