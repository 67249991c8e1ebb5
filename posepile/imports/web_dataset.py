"""WebDataset shards: those of an export, and the layouts in which bodies are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput, UsageError, one_line
from posepile.export.plain import DESCRIPTION
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import read_json
from posepile.imaging.declared import declared_size
from posepile.imports import people
from posepile.imports.facts import complete
from posepile.imports.names import MHR70, SPIN44, convention
from posepile.imports.plain import check_description, facts_of, record_of
from posepile.imports.source import Options, Source, Tally, Unit, file_stamp, one_split, split_of
from posepile.imports.tar_samples import samples
from posepile.joint_info import JointInfo
from posepile.store.fields import Record

_PICTURES = ("jpg", "jpeg", "png", "webp")

# Extension of the annotations -> what a shard with such is.
LAYOUTS = {
    "annotation.pyd": "sam3d",
    "data.pyd": "hmr2",
    "json": "export",
}


def open_source(options: Options) -> Source:
    """Opens shards; their layout shows in the first sample.

    Raises:
        UsageError: The layout is not known, or facts are missing.
        CorruptInput: A shard is damaged.
    """
    first = options.files[0]
    for key, members in samples(first):
        layout = next((name for end, name in LAYOUTS.items() if end in members), None)
        if layout is None or _picture(members) is None:
            raise UsageError(
                f"{first}, sample {key}: found {', '.join(sorted(members))}; expected a picture "
                f"({', '.join(_PICTURES[:3])}) and one of {', '.join(LAYOUTS)}"
            )
        if layout == "export":
            return _of_export(options)
        return _of_people(options, layout)
    raise CorruptInput(first, "found no sample in the shard", hint=AGAIN)


def _picture(members: dict[str, bytes]) -> str | None:
    return next((end for end in _PICTURES if end in members), None)


# ---------------------------------------------------------------- of others


def _of_people(options: Options, layout: str) -> Source:
    first = options.files[0]
    names, read_people, kind, needed = {
        "sam3d": (MHR70, people.of_sam3d, "3d", ("licence", "split")),
        "hmr2": (SPIN44, people.of_hmr2, "2d", ("licence", "split")),
    }[layout]
    splits = {path: options.facts.split or split_of(path) for path in options.files}
    found = {"units": "m", "axes": "camera", "world_up": "-y" if kind == "3d" else None}
    found["split"] = splits[first] if all(splits.values()) else None
    facts = complete(options.facts, found, needed, first)
    info = convention("mhr70" if names is MHR70 else "spin44")
    folder = facts.image_dir or options.name

    def units() -> Iterator[Unit]:
        for k, path in enumerate(options.files):

            def read(tally: Tally, path: Path = path) -> Iterator[tuple[Record, Any]]:
                yield from _read_people(path, layout, read_people, folder, tally)

            split = splits[path]
            yield Unit(f"{split}-{k:05d}-{path.stem}", split, file_stamp(path), read)

    return Source(str(first), info, facts.kind or kind, facts, units, described={"layout": layout})


def _read_people(
    path: Path, layout: str, read: Callable[..., list[Record]], folder: str, tally: Tally
) -> Iterator[tuple[Record, Any]]:
    end = next(e for e, name in LAYOUTS.items() if name == layout)
    for key, members in samples(path):
        if end not in members or _picture(members) is None:
            tally.left_out["sample without a picture or annotations"] += 1
            continue
        picture = _picture(members)
        where = f"{path}, {key}.{end}"
        size = declared_size(members[picture])
        for record in read(members[end], where, tally):
            people.keep_fitting_mask(record, size, tally)
            record.image_path = f"{folder}/{key}.{picture}"
            record.sequence = key
            yield record, members[picture]


# ---------------------------------------------------------------- of an export


def _of_export(options: Options) -> Source:
    first = options.files[0]
    beside = first.parent / DESCRIPTION
    if not beside.is_file():
        raise UsageError(
            f"{first}: pictures with .json beside, but {beside} is not there, which says what "
            "the joints are; only exports of this package are known in this layout"
        )
    described = check_description(read_json(beside), beside)
    facts = complete(options.facts, facts_of(described), ("licence",), first)
    info = JointInfo(described["joint_names"], described["joint_edges"], strict=False)

    def units() -> Iterator[Unit]:
        owners, later = _owners(options.files)
        splits: dict[Path, dict[str, bool]] = {}
        for path, split in owners.values():
            splits.setdefault(path, {})[split] = True
        for k, path in enumerate(options.files):
            more = later.get(path, {})
            for split in splits.get(path, {}):

                def read(tally: Tally, path: Path = path, split: str = split, more: Any = more):
                    return _examples(path, split, more, owners, info.n_joints)

                stamps = [file_stamp(p) for p in (path, *more)]
                yield Unit(f"{split}-{k:05d}-{path.stem}", split, stamps, read)

    kind = facts.kind or described.get("kind") or "3d"
    return Source(str(first), info, kind, facts, units, described=described)


def _owners(files: list[Path]) -> tuple[dict[str, tuple[Path, str]], dict[Path, dict[Path, bool]]]:
    """Image path -> its shard and split; shard -> later ones that have people of its pictures."""
    owners: dict[str, tuple[Path, str]] = {}
    later: dict[Path, dict[Path, bool]] = {}
    for path in files:
        for key, members in samples(path):
            if "json" not in members:
                raise CorruptInput(path, f"sample {key}: found no .json; expected one", hint=AGAIN)
            example = _json(members["json"], f"{path}, {key}.json")
            name, split = example.get("image_path"), example.get("split")
            if not isinstance(name, str) or split not in ("train", "val", "test"):
                text = f"sample {key}: found image_path {name!r} and split {split!r}"
                raise CorruptInput(path, text, hint=AGAIN)
            owner, first = owners.setdefault(name, (path, split))
            one_split(name, (first, owner), (split, path))
            if owner != path:
                later.setdefault(owner, {})[path] = True
    return owners, later


def _examples(path, split, more, owners, n_joints) -> Iterator[tuple[Record, Any]]:
    for place in (path, *more):
        for key, members in samples(place):
            where = f"{place}, {key}.json"
            example = _json(members["json"], where)
            owner = owners.get(example["image_path"])
            if owner != (path, split):
                continue
            picture = _picture(members)
            yield record_of(example, n_joints, where), members[picture] if picture else None


def _json(data: bytes, where: str) -> dict[str, Any]:
    try:
        example = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise CorruptInput(where, f"not valid JSON: {one_line(e)}", hint=AGAIN) from None
    if not isinstance(example, dict):
        raise CorruptInput(where, "found no object; expected an example", hint=AGAIN)
    return example
