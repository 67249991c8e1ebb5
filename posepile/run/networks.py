"""The networks of a run: which ones, where their weights lie, and what stands in for them."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posepile import models
from posepile.acquire.lockfile import read_lock
from posepile.acquire.plan import Decision, by_hand_lines
from posepile.acquire.plan import plan_lines as source_lines
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.models import weights
from posepile.models.identity import NO_NETWORK
from posepile.models.params import DetectParams
from posepile.models.weight_sources import fetch_weights, plan_weights, weight_sources
from posepile.models.weights import WeightFile, WeightSpec
from posepile.run.apart import call_apart
from posepile.stages.task import needs_detector, segments

if typing.TYPE_CHECKING:
    from posepile.config import Config
    from posepile.stages.boxes import BoxParams

# Stages that load a network, by the section of the configuration that names it.
LOADED_BY = {"detect": ("detect", "crop"), "segment": ("segment",)}


@dataclasses.dataclass(frozen=True)
class Needed:
    """A network of ``configs/models.yaml`` that results are made with.

    Attributes:
        key: The setting that names it: ``detect.model``, or a helper's own,
            ``dataset.detect.model``.
        spec: Its entry.
        folder: Where its files lie.
        without: The setting that does without it.
    """

    key: str
    spec: WeightSpec
    folder: Path
    without: str

    @property
    def section(self) -> str:
        """``detect``, ``segment`` or ``dataset``."""
        return self.key.partition(".")[0]


def needed_networks(config: Config) -> list[Needed]:
    """Returns the networks of ``configs/models.yaml`` that a configuration makes use of."""
    found, boxes = [], _other_boxes(config)
    without = f"--set box.source={boxes.source}"
    if boxes.expand != config.box.expand:
        without += f" --set box.expand={boxes.expand:g}"
    for section, kind, used, setting in (
        ("detect", "detectors", needs_detector(config), without),
        ("segment", "segmenters", segments(config), "--set segment.model=raw"),
    ):
        if used:
            found += _needed(section, kind, getattr(config, section), setting)
    for key, params in _of_helpers(config).items():
        found += _needed(key, "detectors", params, f"--set {key}.model=none")
    return found


def _needed(section: str, kind: Any, params: Any, without: str) -> list[Needed]:
    if not isinstance(params.model, str) or params.model in NO_NETWORK:
        return []
    spec = weights.find_spec(kind, params.model)
    return [Needed(f"{section}.model", spec, weights.weights_dir(params.cache_dir), without)]


def _of_helpers(config: Config) -> dict[str, DetectParams]:
    """Detectors that a helper's calibration runs: its options that are such a section."""
    options = config.dataset
    fields = getattr(type(options), "model_fields", {})
    values = {f"dataset.{name}": getattr(options, name) for name in fields}
    return {key: value for key, value in values.items() if isinstance(value, DetectParams)}


def _other_boxes(config: Config) -> BoxParams:
    """What boxes are compared with is where they come from without a detector."""
    if "annotation" in (config.detect.compare, config.detect.unmatched):
        return config.box.model_copy(update={"source": "annotation"})
    expand = config.box.expand * config.detect.expand
    return config.box.model_copy(update={"source": "joints", "expand": expand})


# ---------------------------------------------------------------- on drawn figures


def without_networks(config: Config, given: set[str]) -> tuple[Config, str]:
    """Returns a configuration for a miniature: figures that are drawn are no people to a network.

    Boxes are those that detections would be compared with; masks are those of the raw data, if it
    has any. Everything else stays as it is, and so does a network that was asked for.

    Args:
        config: The configuration of the real data.
        given: Keys that were set on the command line: these win.

    Returns:
        The configuration, and a line that says what it does without; empty if nothing.
    """
    box, detect, segment, done = config.box, config.detect, config.segment, []
    given = {".".join(key.split(".")[:2]) for key in given}  # detect.model.path is one, too
    if needs_detector(config) and "detect.model" not in given:
        if "box.source" in given:
            detect = detect.model_copy(update={"model": "joints"})
            instead = "detect.model = joints"
        else:
            box = _other_boxes(config)
            instead = f"box.source = {box.source}"
        done.append(f"{instead} instead of boxes by {_shown(config.detect.model)}")
    if segments(config) and segment.model != "grabcut" and "segment.model" not in given:
        segment = segment.model_copy(update={"model": "raw", "threshold": None})
        done.append(f"segment.model = raw instead of masks by {_shown(config.segment.model)}")
    dataset = config.dataset
    for key, params in _of_helpers(config).items():
        if key not in given and params.model not in NO_NETWORK:
            none = {key.partition(".")[2]: params.model_copy(update={"model": "none"})}
            dataset = dataset.model_copy(update=none)
            done.append(f"{key}.model = none instead of {_shown(params.model)}")
    made = {"box": box, "detect": detect, "segment": segment, "dataset": dataset}
    made = config.model_copy(update=made)
    return made, f"drawn figures are no people to a network: {', '.join(done)}" if done else ""


def _shown(model: Any) -> str:
    return model if isinstance(model, str) else Path(model.path).name


# ---------------------------------------------------------------- on the disk


def fetch_networks(config: Config, build: str) -> None:
    """Brings the weights that a run needs into the folder that all datasets share.

    Args:
        config: The run's configuration.
        build: Its name, for messages.

    Raises:
        CorruptInput: A file in a folder that cannot be written to is another.
        UsageError: The folder lacks a file and cannot be written to.
        WorkError: They cannot be had; says which file is lacking, where it can be had, where it
            must lie and how to do without.
    """
    for needed in _by_folder(config):
        folder, specs = needed[0].folder, [n.spec for n in needed]
        if not _can_write(folder):
            _take_as_they_are(needed, build)
            continue
        new = {f.file_name for s in specs for f in s.files if f.sha256 is None}
        new -= set(read_lock(folder))
        report = fetch_weights(specs, folder)
        for name in sorted(new & set(read_lock(folder))):
            digest = read_lock(folder)[name]["sha256"]
            print(f"{folder / name}: sha256 {digest}, trusted on first use as none is published")
        if report.left:
            name, _, fault = report.left[0].partition(": ")
            more = f" (and {len(report.left) - 1} more)" if len(report.left) > 1 else ""
            n = next(n for n in needed if f"{name}.".startswith(f"{n.spec.name}."))
            raise WorkError(f"{_needs(build, n)}: {fault}{more}; {_what_to_do(n, fault)}")


def _can_write(folder: Path) -> bool:
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _take_as_they_are(needed: list[Needed], build: str) -> None:
    """Compares the weights in somebody else's folder, in which nothing can be written down."""
    for n in needed:
        for file in _missing_files(n):
            raise UsageError(
                f"{_needs(build, n)}: {n.folder / file.file_name} is missing, and the folder "
                "cannot be written to: set POSEPILE_MODELS to one that can, or do without: "
                f"{n.without}"
            )
        weights.installed(n.spec, n.folder)


def _what_to_do(needed: Needed, fault: str) -> str:
    """What a person can do about a file that could not be fetched."""
    files = {file.file_name: file for file in needed.spec.files}
    file = next((f for name, f in files.items() if name in fault), needed.spec.files[0])
    return f"{weights.by_hand(file, needed.folder)}; or do without: {needed.without}"


def _missing_files(needed: Needed) -> list[WeightFile]:
    return [f for f in needed.spec.files if not (needed.folder / f.file_name).is_file()]


def _needs(build: str, needed: Needed) -> str:
    return f"{build}: {needed.key} = {needed.spec.name}"


def _by_folder(config: Config) -> list[list[Needed]]:
    folders: dict[Path, list[Needed]] = {}
    for needed in needed_networks(config):
        folders.setdefault(needed.folder, []).append(needed)
    return list(folders.values())


def loaded_by(stages: tuple[str, ...], detected: bool) -> tuple[str, ...]:
    """Returns the sections whose networks stages load: ``detect``, ``segment``.

    Args:
        stages: The stages.
        detected: Detections have been made before, perhaps on another machine: crops are made
            with them, and this machine needs no detector.
    """
    found = tuple(name for name, users in LOADED_BY.items() if set(users) & set(stages))
    return tuple(n for n in found if n != "detect" or "detect" in stages or not detected)


def require_networks(config: Config, build: str, sections: tuple[str, ...]) -> None:
    """Looks for the weights that are loaded, before any unit is begun. Workers fetch nothing.

    Args:
        config: The run's configuration.
        build: Its name, for messages.
        sections: From :func:`loaded_by`.

    Raises:
        WorkError: A file is missing; says where it comes from and where it must lie.
    """
    for needed in needed_networks(config):
        if needed.section not in sections:
            continue
        for file in _missing_files(needed):
            raise WorkError(
                f"{_needs(build, needed)}: {needed.folder / file.file_name} is missing; "
                f"posepile model fetch {needed.spec.name} brings it, or "
                f"{weights.by_hand(file, needed.folder)}; or do without: {needed.without}"
            )


def check_networks(config: Config, build: str, sections: tuple[str, ...]) -> None:
    """Loads networks once, before any unit is begun.

    In a process of its own, so that this one can still be forked: ONNX Runtime starts threads.

    Args:
        config: The run's configuration.
        build: Its name, for messages.
        sections: From :func:`loaded_by`.

    Raises:
        UsageError: A network is not what it is said to be, or cannot be run.
        WorkError: Its weights are missing, or it ends the process that loads it.
    """
    loads = []
    if needs_detector(config) and "detect" in sections:
        loads.append(("detect", lambda: models.load_detector(config.detect)))
    if segments(config) and "segment" in sections:
        loads.append(("segment", lambda: models.load_segmenter(config.segment)))
    for section, load in loads:
        call_apart(lambda load=load: _refused(load), f"loading {build}'s {section}.model")


def _refused(load: Callable[[], Any]) -> None:
    try:
        load()
    except CorruptInput as e:
        raise UsageError(str(e)) from None


def is_of_network(config: Config, file: str) -> bool:
    """Returns whether a file is of a network of a configuration, not of the raw data."""
    for params in (config.detect, config.segment):
        if isinstance(params.model, str):
            if weights.weights_dir(params.cache_dir) in Path(file).parents:
                return True
        elif any(
            str(Path(value)) == str(file)
            for key, value in params.model.model_dump().items()
            if key.endswith("path") and value is not None
        ):
            return True
    return False


def plan_lines(config: Config) -> tuple[list[str], list[Decision]]:
    """Returns as text which weights are there and which would be fetched, and the decisions."""
    lines: list[str] = []
    decided: list[Decision] = []
    for needed in _by_folder(config):
        folder, specs = needed[0].folder, [n.spec for n in needed]
        sources = weight_sources(specs, folder)
        decisions = plan_weights(specs, folder)
        decided += decisions
        lines += source_lines(sources, decisions, folder)
        lines += by_hand_lines(sources, decisions)
        lines += [f"  {n.key} = {n.spec.name}; without: {n.without}" for n in needed]
    for section, paths in _own_files(config).items():
        for path in paths.values():
            there = "" if path.is_file() else ": no such file"
            lines.append(f"  {section}.model, a file of your own: {path}{there}")
    return lines, decided


def plan_entries(config: Config) -> list[dict[str, Any]]:
    """Returns the same as plain data, one entry per file."""
    entries = []
    for needed in needed_networks(config):
        decisions = plan_weights([needed.spec], needed.folder)
        for file, decision in zip(needed.spec.files, decisions, strict=True):
            entries.append(
                {
                    "setting": needed.key,
                    "network": needed.spec.name,
                    "part": file.part,
                    "url": file.url,
                    "path": str(needed.folder / file.file_name),
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                    "licence": needed.spec.licence,
                    "action": decision.action,
                    "remaining": decision.remaining,
                    "without": needed.without,
                }
            )
    return entries


def doctor_lines(config: Config, checksums: bool) -> list[str]:
    """Returns what is wrong with the weights that a run needs, one line each.

    Args:
        config: The run's configuration.
        checksums: Also hash every file; without, their sizes are compared.
    """
    lines = [
        f"  {section}.model: {path}: no such file"
        for section, paths in _own_files(config).items()
        for path in paths.values()
        if not path.is_file()
    ]
    for needed in needed_networks(config):
        try:
            if checksums:
                weights.installed(needed.spec, needed.folder)
                continue
            decisions = plan_weights([needed.spec], needed.folder)
        except (CorruptInput, WorkError) as e:
            lines.append(f"  weights: {e}")
            continue
        for file, decision in zip(needed.spec.files, decisions, strict=True):
            path = needed.folder / file.file_name
            if decision.action in ("have", "verify"):
                continue
            what = decision.reason if path.is_file() else f"{path}: not downloaded"
            lines.append(
                f"  weights of {needed.spec.name} ({needed.key}): {what}; "
                f"{weights.by_hand(file, needed.folder)}"
            )
    return lines


def described_networks(config: Config) -> list[dict[str, Any]]:
    """Returns which networks made boxes and masks, for the manifest: files, checksums, licence.

    Of a file of one's own neither address nor licence is known.
    """
    found = []
    for needed in needed_networks(config):
        lock = read_lock(needed.folder)
        files = [
            {
                "part": file.part,
                "file": file.file_name,
                "url": file.url,
                "sha256": _sha256_there(file, needed.folder)
                or lock.get(file.file_name, {}).get("sha256"),
            }
            for file in needed.spec.files
        ]
        what = {"setting": needed.key, "network": needed.spec.name, "files": files}
        found.append({**what, "licence": needed.spec.licence, "source": needed.spec.source})
    for section, paths in _own_files(config).items():
        files = [
            {"part": part, "file": path.name, "url": None, "sha256": weights.file_sha256(path)}
            for part, path in paths.items()
            if path.is_file()  # another machine may have used it
        ]
        what = {"setting": f"{section}.model", "network": paths["network"].name, "files": files}
        found.append({**what, "licence": None, "source": None})
    return found


def _sha256_there(file: WeightFile, folder: Path) -> str | None:
    """The checksum of the file that lies there: a known copy has another than the release."""
    path = folder / file.file_name
    size = path.stat().st_size if path.is_file() else file.bytes
    copies = {copy.bytes: copy.sha256 for copy in file.copies if size != file.bytes}
    return copies.get(size, file.sha256)


def _own_files(config: Config) -> dict[str, dict[str, Path]]:
    """Files of networks of the user's own that are made use of: section -> part -> file."""
    found = {}
    sections = {"detect": config.detect} if needs_detector(config) else {}
    sections |= {"segment": config.segment} if segments(config) else {}
    for section, params in (sections | _of_helpers(config)).items():
        model = params.model
        if isinstance(model, str):
            continue
        found[section] = {"network": Path(model.path).expanduser()}
        decoder = getattr(model, "decoder_path", None)
        if decoder is not None:
            found[section]["decoder"] = Path(decoder).expanduser()
    return found
