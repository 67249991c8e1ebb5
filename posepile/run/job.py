"""One invocation: a dataset under a configuration, with what the user asked for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from posepile import paths
from posepile.config import Config, NoOptions, key_of, load_config
from posepile.ds import build_name, dataset_dir, load_recipe, split_build
from posepile.errors import WorkError
from posepile.files import read_object, stable_hash, write_json
from posepile.formats.derived import derive_in
from posepile.miniature import TRUTH
from posepile.remote import stand_ins
from posepile.remote.on_demand import fetching
from posepile.run.backends import LOCAL, Backend
from posepile.run.keys import Keys, make_keys
from posepile.run.listing import VERSION as LIST_VERSION
from posepile.run.listing import UnitList, check_only, current_list, open_units
from posepile.run.networks import without_networks
from posepile.run.recipe_calls import check_recipe
from posepile.stages.exclusions import load_exclusions


@dataclass(frozen=True)
class Run:
    """A dataset under a configuration.

    Attributes:
        name: Dataset name.
        variant: Name of the build beside the main one, None for that.
        config: Validated configuration.
        root: Raw folder of the dataset.
        work: Folder of intermediate results.
        jobs: Number of worker processes; None = one per processor.
        backend: Where units are worked on.
        shard: This process's share of the units, (index, count).
        only: Glob over unit ids; None = all.
        quiet: No progress bar.
        retry: Try again what is quarantined.
        keep_results: Take results that only the recipe's code differs from.
        whole_checksums: Fingerprint large files whole as well.
        settings: The ``section.key=value`` strings and the configuration file behind ``config``.
        stand_in: What was taken in place of networks for a miniature, as a line; empty if nothing.
    """

    name: str
    variant: str | None
    config: Config
    root: Path
    work: Path
    jobs: int | None = None
    backend: Backend = LOCAL
    shard: tuple[int, int] = (0, 1)
    only: str | None = None
    quiet: bool = False
    retry: bool = False
    keep_results: bool = False
    whole_checksums: bool = False
    settings: tuple[tuple[str, ...], str | None] = ((), None)
    stand_in: str = ""

    @property
    def build(self) -> str:
        """Name of the archive and of the pickle: ``name`` or ``name@variant``."""
        return build_name(self.name, self.variant)

    @property
    def archive(self) -> Path:
        """Where the archive lies."""
        return paths.archive_path(self.build)

    @property
    def pickle(self) -> Path:
        """Where the dataset's pickle lies."""
        return paths.cache_dir() / f"{self.build}.pkl"

    @property
    def recipe(self) -> ModuleType:
        """The recipe module."""
        # Asked for with every unit; the registry looks at the disk each time.
        return sys.modules.get(f"posepile.ds.{self.name}.main") or load_recipe(self.name)


def make_run(
    name: str,
    overrides: tuple[str, ...] = (),
    config_path: Path | None = None,
    *,
    variant: str | None = None,
    miniature: bool = False,
    **asked: Any,
) -> Run:
    """Loads recipe and configuration of a dataset; all mistakes of the caller show here.

    Args:
        name: Dataset name, perhaps ``name@variant``.
        overrides: ``section.key=value`` strings.
        config_path: Configuration file instead of ``configs/<name>.yaml``.
        variant: Name of a build beside the main one.
        miniature: The raw folder shall hold drawn figures; else whether it does is looked for.
        **asked: Further fields of :class:`Run`.
    """
    name, variant = split_build(name, variant)
    recipe = load_recipe(name)
    check_recipe(recipe)
    if variant is not None:
        memory = paths.work_dir(build_name(name, variant)) / "variant.json"
        overrides, config_path = _with_remembered(memory, overrides, config_path)
    options = getattr(recipe, "Options", NoOptions)
    config = load_config(name, options, overrides, config_path, recipe.SPEC)
    work = paths.work_dir(build_name(name, variant))
    root = config.raw_root or paths.raw_dir(name)
    if config.raw_address is not None:
        stand_ins.make(config.raw_address, since=0.0)
        derive_in(paths.work_dir(name), root)
    path = None if config_path is None else str(config_path.absolute())
    asked["settings"] = overrides, path
    if miniature or (root / TRUTH).is_file():
        given = {key_of(override) for override in overrides}
        config, asked["stand_in"] = without_networks(config, given)
    return Run(name, variant, config, root, work, **asked)


def remember_settings(run: Run) -> None:
    """Keeps the settings of a variant for later commands, which need not repeat them."""
    if run.variant is not None:
        overrides, path = run.settings
        write_json(run.work / "variant.json", {"set": list(overrides), "config": path})


def _with_remembered(
    memory: Path, overrides: tuple[str, ...], config_path: Path | None
) -> tuple[tuple[str, ...], Path | None]:
    """What a variant was made with, as far as it is not given anew."""
    if not os.path.lexists(memory):
        return overrides, config_path
    before = read_object(memory)
    kept, config = (before.get(k) if isinstance(before, dict) else 0 for k in ("set", "config"))
    if not (
        isinstance(kept, list)
        and all(isinstance(o, str) for o in kept)
        and (config is None or isinstance(config, str))
    ):
        if overrides or config_path is not None:
            return overrides, config_path
        raise WorkError(
            f"{memory}: is damaged; expected the settings of the variant: give them again, all of "
            "them, with --set and --config"
        )
    anew = {key_of(override) for override in overrides}
    kept = tuple(o for o in kept if key_of(o) not in anew)
    if config_path is None and config:
        config_path = Path(config)
    return kept + overrides, config_path


def run_keys(run: Run) -> Keys:
    """Returns what results of this run depend on, apart from the units' own part."""
    exclusions = []
    if run.config.run.exclusions:
        exclusions = load_exclusions(dataset_dir(run.name) / "exclusions.yaml")
    return make_keys(run.recipe, run.config, exclusions)


def run_units(run: Run, keys: Keys) -> UnitList:
    """Returns the units of the dataset; see :func:`posepile.run.listing.open_units`.

    Raises:
        UsageError: ``--only`` matches no unit.
    """
    share, address = run.shard != (0, 1), run.config.raw_address
    if address is not None:
        stand_ins.make(address, share=share)
    with fetching(address):
        units = open_units(
            run.work / "units.sqlite",
            _list_key(run, keys),
            run.root,
            run.recipe.list_units,
            run.config.dataset,
            name=run.name,
            apart=run.config.run.isolate,
            quiet=run.quiet,
            array=os.environ.get("SLURM_ARRAY_JOB_ID") if share else None,
        )
    check_only(units, run.only, run.name)
    return units


def listed_units(run: Run, keys: Keys) -> UnitList | None:
    """Returns the units as somebody has listed them last; does not list them, nor wait."""
    return current_list(run.work / "units.sqlite", _list_key(run, keys), whatever_changed=True)


def _list_key(run: Run, keys: Keys) -> str:
    return stable_hash([LIST_VERSION, str(run.root), keys.shared["recipe"], run.config.dataset])
