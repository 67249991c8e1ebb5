"""What a mix is: ``configs/merge/<name>.yaml``, which datasets become one training set, and how.

A mix names datasets and, for each, which of its splits go where, the suffix of its joints, which
of them are kept, filters, and its share of what is drawn in training. That of a published one
comes with the place where it was published, or is unknown. Reading a mix opens no archive.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from posepile import paths
from posepile.config import apply_override
from posepile.ds import split_build
from posepile.errors import UsageError
from posepile.files import names_in
from posepile.formats.yaml_files import describe, load_yaml
from posepile.merging.filters import Filters

Split = Literal["train", "val", "test"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


class Part(BaseModel):
    """One dataset of a mix.

    Attributes:
        splits: Split of the mix -> splits of the dataset that go there. None: each stays what it
            is. Where given, other splits are not in the mix.
        skeleton: Suffix of its joints, without ``_``; None: the dataset's name without them.
        joints: Names of the joints that are kept, or patterns (``*_coco``). None: all.
        filters: In place of those of the whole mix; ``{}``: none.
        every: N: of the training examples that filters leave, every N-th.
        most: At most so many training examples, evenly spread.
        share: Of what is drawn in training, relative to the others of its group. None: unknown.
        group: Its group, one of the mix's ``groups``.
        source: Where the share was published: one of the mix's ``sources``, or a text.
        note: What else there is to say, e.g. what the published mix did that is not done here.
    """

    model_config = ConfigDict(extra="forbid")

    splits: dict[Split, list[Split]] | None = None
    skeleton: str | None = Field(None, pattern="^[^_]+$")
    joints: list[str] | None = Field(None, min_length=1)
    filters: Filters | None = None
    every: int = Field(1, ge=1)
    most: int | None = Field(None, ge=1)
    share: float | None = Field(None, gt=0, allow_inf_nan=False)
    group: str | None = None
    source: str | None = None
    note: str = ""


class Group(BaseModel):
    """Datasets that have a share together.

    Attributes:
        share: Of what is drawn in training, relative to the other groups. None: unknown.
        source: Where it was published.
        note: What else there is to say.
    """

    model_config = ConfigDict(extra="forbid")

    share: float | None = Field(None, gt=0, allow_inf_nan=False)
    source: str | None = None
    note: str = ""


class MixFile(BaseModel):
    """The content of ``configs/merge/<name>.yaml``.

    Attributes:
        about: What it is, one line.
        published: Where it was published; empty for one that was not.
        sources: Short name of a source -> what it is.
        note: What users must know of it.
        leave_out_held_out: Leave out of training what is in pictures for validation or testing,
            see :func:`posepile.merging.merge.merge_datasets`.
        filters: For the training examples of every dataset that has none of its own.
        groups: Groups of datasets by name, where shares are those of a group.
        datasets: Datasets by name, ``name@variant`` for a variant, in the order of the lists.
    """

    model_config = ConfigDict(extra="forbid")

    about: str = ""
    published: str = ""
    sources: dict[str, str] = Field(default_factory=dict)
    note: str = ""
    leave_out_held_out: bool = False
    filters: Filters = Field(default_factory=Filters)
    groups: dict[str, Group] = Field(default_factory=dict)
    datasets: dict[str, Part] = Field(min_length=1)


@dataclass(frozen=True)
class Mix:
    """A mix that was read.

    Attributes:
        name: Its name.
        file: The content of its file.
        path: The file.
    """

    name: str
    file: MixFile
    path: Path

    @property
    def parts(self) -> dict[str, Part]:
        """The datasets by name."""
        return self.file.datasets

    def skeleton(self, name: str) -> str:
        """Returns the suffix of the joints of a dataset."""
        return self.parts[name].skeleton or split_build(name)[0].replace("_", "")

    def splits(self, name: str) -> Mapping[str, Sequence[str]]:
        """Returns for each split of the mix which splits of a dataset go there."""
        given = self.parts[name].splits
        if given is None:
            return {"train": ["train"], "val": ["val"], "test": ["test"]}
        return {split: given.get(split, []) for split in ("train", "val", "test")}

    def filters(self, name: str) -> Filters:
        """Returns the filters for the training examples of a dataset.

        Files that they name are found from the folder of the mix's file.
        """
        own = self.parts[name].filters
        found = self.file.filters if own is None else own
        files = tuple(self.path.parent / path for path in found.exclusions)
        return found.model_copy(update={"exclusions": files})

    def source(self, name: str) -> str:
        """Returns where the share of a dataset was published, ``unknown`` if it is not known."""
        part = self.parts[name]
        if part.source is None:
            return "unknown"
        return self.file.sources.get(part.source, part.source)

    def weights(self, counts: Mapping[str, int]) -> dict[str, float] | None:
        """Returns how often each dataset is drawn in training, as shares that add up to 1.

        Shares of datasets that are absent go to the others of their group, those of groups that
        are absent to the other groups.

        Args:
            counts: Number of training examples of the datasets that are there.

        Returns:
            Shares of the datasets that have examples; None if no share is known, so that every
            example is drawn as often as any other.
        """
        counts = {name: n for name, n in counts.items() if n}
        known = [p.share for p in self.parts.values()] + [
            g.share for g in self.file.groups.values()
        ]
        if not counts or all(share is None for share in known):
            return None
        members: dict[str | None, list[str]] = {}
        for name in counts:
            members.setdefault(self.parts[name].group, []).append(name)
        of_groups = {}
        for group, names in members.items():
            share = self.file.groups[group].share if group else None
            of_groups[group] = _or(share, sum(counts[name] for name in names))
        result = {}
        for group, names in members.items():
            shares = {name: _or(self.parts[name].share, counts[name]) for name in names}
            for name, share in shares.items():
                of_group = of_groups[group] / sum(of_groups.values())
                result[name] = of_group * share / sum(shares.values())
        return {name: result[name] for name in counts}


def _or(share: float | None, count: int) -> float:
    return count if share is None else share


def mix_names() -> list[str]:
    """Returns the names of the mixes that come with the package, sorted."""
    return sorted(n.removesuffix(".yaml") for n in names_in(_folder()) if n.endswith(".yaml"))


def load_mix(name: str, overrides: Sequence[str] = (), out: str | None = None) -> Mix:
    """Reads a mix.

    Args:
        name: Name of one that comes with the package, or a file (``….yaml``).
        overrides: ``key=value`` strings, such as ``datasets.h36m.share=8``, values in YAML syntax.
        out: Name that it gets; None: its own, that of its file.

    Raises:
        UsageError: There is no such mix, or its file says what is not allowed.
    """
    path = _path_of(name)
    raw = load_yaml(path, kind="mix")
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping of keys, found {type(raw).__name__}")
    for override in overrides:
        apply_override(raw, override)
    where = f"{path}" + (" with --set" if overrides else "")
    datasets = raw.get("datasets")
    if isinstance(datasets, dict):
        # A dataset of which nothing is said stays as it is.
        raw["datasets"] = {str(k): {} if v is None else v for k, v in datasets.items()}
    try:
        file = MixFile.model_validate(raw)
    except pydantic.ValidationError as e:
        raise UsageError(describe(e, where, raw, MixFile)) from None
    own = path.name.removesuffix(".yaml")
    mix = Mix(_checked_name(own if out is None else out, where, given=out is not None), file, path)
    _check(mix, where)
    return mix


def _folder() -> Path:
    return paths.config_dir() / "merge"


def _path_of(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    names = mix_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        shown = name if len(name) <= 100 else f"{name[:100]}..."
        raise UsageError(
            f"unknown mix {shown!r}{hint}; there are: {', '.join(names)}; or name a file, mix.yaml"
        )
    return _folder() / f"{name}.yaml"


def _checked_name(name: str, where: str, given: bool) -> str:
    """Returns the name of a mix, which names files beside those of datasets."""
    if not _NAME.fullmatch(name):
        said = f"--out {name}" if given else f"{where}: the name {name!r}"
        raise UsageError(
            f"{said}: expected letters, digits, '.', '_' and '-', e.g. mymix; name it with --out"
        )
    return name


def _check(mix: Mix, where: str) -> None:
    """Refuses what contradicts itself."""
    shares: dict[str | None, dict[str, Any]] = {}
    for name, part in mix.parts.items():
        key = f"{where}: datasets.{name}"
        split_build(name)
        if part.group is not None and part.group not in mix.file.groups:
            groups = ", ".join(mix.file.groups) or "none"
            raise UsageError(f"{key}.group = {part.group!r}: expected one of groups: {groups}")
        if part.group is None and mix.file.groups:
            raise UsageError(f"{key}.group is missing; the mix has groups, name one of them")
        used = [source for sources in (part.splits or {}).values() for source in sources]
        twice = next((source for source in used if used.count(source) > 1), None)
        if twice is not None:
            raise UsageError(f"{key}.splits: {twice} goes to several places; expected one")
        if mix.splits(name)["train"]:
            shares.setdefault(part.group, {})[name] = part.share
    of_groups = {name: group.share for name, group in mix.file.groups.items()}
    of_datasets = {
        f"datasets of group {group}" if group else "datasets": of for group, of in shares.items()
    }
    for what, known in {**of_datasets, "groups": of_groups}.items():
        without = [name for name, share in known.items() if share is None]
        if without and len(without) < len(known):
            raise UsageError(
                f"{where}: {without[0]} has no share and others have; give all {what} one, or none"
            )
