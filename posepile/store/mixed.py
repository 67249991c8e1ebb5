"""What a pickle of several datasets was made of: the file beside it, looked at when it is opened.

References to rows are only as good as the archives they were made for. Sources compare identities
when an example is asked for; the manifest tells earlier, and by the names of the datasets.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.errors import UsageError, WorkError, one_line
from posepile.files import open_regular
from posepile.store.reading import open_archive
from posepile.store.row_sources import short_identity
from posepile.store.shard_files import file_digest

# Readers refuse any other one: what is in doubt is made again.
MANIFEST_VERSION = 1


def mix_manifest_path(pickle_path: str | os.PathLike) -> Path:
    """Returns where it stands what a mix was made of.

    Args:
        pickle_path: ``<name>.pkl``.
    """
    return Path(os.fspath(pickle_path).removesuffix(".pkl") + ".merge.json")


def read_mix_manifest(pickle_path: str | os.PathLike) -> dict[str, Any] | None:
    """Returns what a mix was made of; None for the pickle of something else.

    Args:
        pickle_path: ``<name>.pkl``.

    Raises:
        WorkError: The file is damaged, or of another version.
    """
    path = mix_manifest_path(pickle_path)
    try:
        with open_regular(path) as f:
            found = json.loads(f.read())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as e:
        raise WorkError(f"{path}: is damaged ({one_line(e)}); {_remake(path)}") from None
    except OSError as e:
        raise WorkError(f"{path}: cannot be read: {e.strerror}") from None
    datasets = found.get("datasets") if isinstance(found, dict) else None
    if not isinstance(datasets, dict) or not all(isinstance(d, dict) for d in datasets.values()):
        raise WorkError(f"{path}: expected what a mix was made of; {_remake(path)}")
    version = found.get("version")
    if version != MANIFEST_VERSION:
        raise WorkError(
            f"{path}: version {version!r:.20}, expected {MANIFEST_VERSION}; {_remake(path)}"
        )
    return found


def is_mix(pickle_path: str | os.PathLike) -> bool:
    """Returns whether a pickle is the one that the manifest beside it is of.

    Args:
        pickle_path: ``<name>.pkl``.
    """
    try:
        manifest = read_mix_manifest(pickle_path)
    except WorkError:
        return False
    return manifest is not None and _is_of(manifest, pickle_path)


def check_mix(pickle_path: str | os.PathLike) -> None:
    """Looks whether the archives that a mix was made of are still the same.

    Does nothing for the pickle of something else.

    Args:
        pickle_path: ``<name>.pkl``.

    Raises:
        WorkError: One was packed again, or is gone; the message names the dataset.
    """
    manifest = read_mix_manifest(pickle_path)
    if manifest is None or not _is_of(manifest, pickle_path):
        return
    again = _remake(pickle_path, manifest.get("command"))
    for name, part in manifest["datasets"].items():
        archive, identity = part.get("archive"), part.get("identity")
        if not isinstance(archive, str):
            path = mix_manifest_path(pickle_path)
            raise WorkError(f"{path}: datasets.{name}.archive: expected a path; {again}")
        of = f"mix {_name(pickle_path)}: {name}"
        try:
            found = short_identity(open_archive(archive))
        except UsageError as e:
            raise WorkError(
                f"{of}: {e}; put it back, or {again}, with --skip-missing to do without"
            ) from None
        if found != identity:
            raise WorkError(
                f"{of}: {paths.ensure_absolute(archive)} was packed again, its identity is "
                f"{found or 'unknown'}, the mix was made of {identity or 'one without'}; {again}"
            )


def _is_of(manifest: dict[str, Any], pickle_path: str | os.PathLike) -> bool:
    """Whether a manifest is of this pickle, and not of another that had its name."""
    return file_digest(pickle_path)[0] == manifest.get("pickle_sha256")


def _name(path: str | os.PathLike) -> str:
    return Path(path).name.removesuffix(".pkl").removesuffix(".merge.json")


def _remake(path: str | os.PathLike, command: Any = None) -> str:
    if not isinstance(command, str):
        command = f"posepile merge {_name(path)}"
    return f"make the mix again: {command}"
