"""The forms that are imported, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from posepile.errors import UsageError
from posepile.imports import coco, human_data, pickled, upstream, web_dataset, writing
from posepile.imports.facts import Facts
from posepile.imports.source import Options, Source
from posepile.store.new_names import check_new_name

# Name -> how files of that form are opened.
FORMS: dict[str, Callable[[Options], Source]] = {
    "coco": coco.open_source,
    "humandata": human_data.open_source,
    "pickle": pickled.open_source,
    "upstream": upstream.open_source,
    "webdataset": web_dataset.open_source,
}


def import_dataset(
    files: list[Path],
    form: str,
    name: str,
    facts: Facts | None = None,
    *,
    images: Path | None = None,
    skip_missing: bool = False,
    tell: Callable[[str], None] = print,
) -> writing.Imported:
    """Makes a packed dataset of files in the form of others.

    What is finished is not done again, so an import that was ended goes on.

    >>> from posepile.datasets3d import get_dataset
    >>> from posepile.export.webdataset import export_webdataset
    >>> _ = export_webdataset(get_dataset("aspset"), folder / "shards")
    >>> shards = sorted((folder / "shards").glob("*.tar"))
    >>> _ = import_dataset(shards, "webdataset", "again", tell=lambda line: None)
    >>> get_dataset("again")
    <Pose3DDataset again (CC0 1.0), 17 joints, train: 24, val: 6, test: 0>

    Args:
        files: The files, in the order of the archive.
        form: One of :data:`FORMS`.
        name: Of the dataset; ``get_dataset(name)`` opens it.
        facts: What the files do not tell.
        images: Folder or archive of the pictures; None = where the form has them.
        skip_missing: Leave out examples whose picture is not there, and count them.
        tell: Is given lines that say how far it is.

    Raises:
        UsageError: Facts are missing, or a file or the name is mistaken.
        WorkError: The files are not of that form, or what they hold cannot be right.
    """
    if form not in FORMS:
        raise UsageError(f"import: no form {form!r}; there are {', '.join(FORMS)}")
    check_new_name(name, "import", "--name")
    paths = [Path(file).absolute() for file in files]
    for path in paths:
        if not path.exists() and form != "upstream":
            raise UsageError(f"{path}: no such file")
    if len(set(paths)) < len(paths):
        raise UsageError("import: a file is named twice")
    options = Options(paths, name, facts or Facts(), images, skip_missing)
    source = FORMS[form](options)
    return writing.write_dataset(source, form, options, tell=tell)
