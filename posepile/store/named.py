"""What the name of a dataset means on the command line: answered here, once for all commands."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from posepile import paths
from posepile.ds import build_name, dataset_dir, dataset_names, load_recipe, split_build
from posepile.errors import UsageError, not_there_yet
from posepile.store.layout import find_index
from posepile.store.opening import get_dataset, open_dataset

FILES = (".barecat", ".pkl")

Kind = Literal["recipe", "archive", "mix", "file"]


@dataclass(frozen=True)
class Named:
    """What a name means. Whether it has been made is another question, see :meth:`packed`.

    Attributes:
        name: As it was asked for, with the variant as in ``name@variant``.
        dataset: The same without the variant.
        kind: ``recipe``: a dataset with a recipe, or a variant of it. ``archive``: one without,
            which was imported or cut out of others. ``mix``: merged out of others, a pickle
            without an archive of that name. ``file``: a ``.barecat`` or ``.pkl``, anywhere.
    """

    name: str
    dataset: str
    kind: Kind

    @property
    def path(self) -> Path:
        """The archive or the pickle that holds it, whether that is there or not.

        Raises:
            UsageError: It is in an object store.
        """
        if paths.is_address(self.name):
            raise UsageError(
                f"{self.name}: is in an object store, and this command needs the files; copy them "
                "to a disk and name the .barecat there"
            )
        if self.kind == "file":
            return paths.ensure_absolute(self.name)
        if self.kind == "mix":
            return paths.cache_dir() / f"{self.name}.pkl"
        return paths.archive_path(self.name)

    @property
    def spec(self) -> Any:
        """What the recipe declares; None without a recipe."""
        return load_recipe(self.dataset).SPEC if self.kind == "recipe" else None

    def packed(self) -> Path:
        """Returns :attr:`path`, where what a recipe makes has been made.

        Raises:
            UsageError: ``DATA_ROOT`` is no folder, the recipe is of a helper, without examples, or
                the archive is in an object store.
            WorkError: It has not been packed, or something else lies there.
        """
        if self.kind == "recipe":
            paths.require_data_root()
            if self.spec.kind == "helper":
                raise UsageError(
                    f"{self.name} is a helper: it has files, see posepile status, but no archive"
                )
            if find_index(self.path) is None:
                raise not_there_yet(self.path, "archive", self.name)
        return self.path

    def open(self) -> Any:
        """Opens it, 2D or 3D; what a recipe makes must have been packed."""
        return (
            open_dataset(self.packed()) if self.kind == "recipe" else get_dataset(self.name, None)
        )


def named(name: str, variant: str | None = None) -> Named:
    """Returns what a name means.

    A recipe comes before a mix or an archive of that name. Of these nothing is found without
    ``DATA_ROOT`` (a mix: or ``CACHE_DIR``).

    Args:
        name: A dataset, ``name@variant``, the name of a mix, an import or a subset, or a file.
        variant: The variant that an option names.

    Raises:
        UsageError: Nothing is called so; or two variants are named, or one of a file.
        WorkError: Where its archive would be there is something else, such as a folder.
    """
    if name.endswith(FILES):
        if variant is not None:
            raise UsageError(f"--variant {variant}: {name} is a file")
        return Named(name, name, "file")
    dataset, variant = split_build(name, variant)
    if dataset not in dataset_names():
        kind = _kind_without_recipe(dataset) if variant is None else None
        if kind is not None:
            return Named(dataset, dataset, kind)
        dataset_dir(dataset)  # which raises, with a name that is nearly so
    return Named(build_name(dataset, variant), dataset, "recipe")


def _kind_without_recipe(name: str) -> Kind | None:
    if not name or set(name) & {os.sep, "\0"}:
        return None
    with contextlib.suppress(UsageError):  # no DATA_ROOT; told where a dataset is looked for
        mix = os.path.isfile(paths.cache_dir() / f"{name}.pkl")
        with contextlib.suppress(UsageError):  # CACHE_DIR alone is enough for a mix
            if find_index(paths.archive_path(name)) is not None:
                return "archive"
        return "mix" if mix else None
    return None
