"""Images as files at exactly their paths, for training code that opens them so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.errors import UsageError
from posepile.export.folders import DESCRIPTION, put_image, write_description
from posepile.export.labels import export_labels, require_labels
from posepile.export.rows import ENCODED, Exported, Images, Progress, image_bytes, iter_rows
from posepile.export.writing import require_replaceable
from posepile.files import disk_error, is_disk_error, read_object


def export_folder(
    dataset: Any, out: str | os.PathLike, progress: Progress | None = None
) -> Exported:
    """Writes each image to ``<out>/<image_path>``, and the labels beside.

    An export that was interrupted goes on: images that are there are not written again. In
    ``DATA_ROOT`` itself nothing but the images is written.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_folder(get_dataset("aspset"), folder / "pictures")
    >>> made.examples, made.files[0].name
    (30, 'pictures')

    Args:
        dataset: The dataset.
        out: The folder, which may hold other things, such as ``DATA_ROOT``; relative paths are
            below ``DATA_ROOT``.
        progress: Called with the number of examples whose image is there now and then.

    Returns:
        What was written.

    Raises:
        UsageError: Something else lies where the labels are to be.
        WorkError: Another file lies where an image is to be.
    """
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{out}: is a file, expected a folder or nothing; name another place")
    root = os.environ.get("DATA_ROOT")
    images_only = bool(root) and out == Path(os.path.abspath(root))  # the rest is not described
    if not images_only:
        require_labels(dataset, out / "labels.npz")
        described = out / DESCRIPTION
        is_own = (read_object(described) or {}).get("format") == "folder"
        is_own |= not os.path.lexists(described)
        require_replaceable(described, (), "description of such a folder", is_own)
    done, images = Exported(files=[out]), Images()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for row in iter_rows(dataset, progress):
            done.examples += 1
            _, is_new = images.number(row)
            if not is_new:
                continue
            data, encoded = image_bytes(row)
            done.notes[ENCODED] += encoded
            put_image(out, row.record.image_path, data)
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, out) from e
        raise
    done.images = images.n
    if images_only:
        return done
    done.files.append(out / "labels.npz")
    export_labels(dataset, out / "labels.npz")
    done.files.append(out / DESCRIPTION)
    write_description(out, dataset, out.name, "folder", done)
    return done
