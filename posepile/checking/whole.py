"""Questions about the dataset as a whole: its folder, its facts, its counts, its files."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from posepile.acquire.credentials import clean_environment
from posepile.acquire.sources import load_sources
from posepile.checking.findings import Answer, Finding, not_asked
from posepile.checking.sample import Sample, data_root, points_of
from posepile.config import NoOptions, config_path, load_config
from posepile.ds import dataset_dir, load_recipe
from posepile.errors import UsageError
from posepile.files import files_below, names_in
from posepile.formats.schema import shortened
from posepile.miniature.truth import read_truth
from posepile.recipe import SPLITS

FILES = ("__init__.py main.py main.sh miniature.py sources.yaml exclusions.yaml README.md").split()


def folder_is_complete(name: str) -> Answer:
    """Whether the folder has its files, sources.yaml is valid, and main.sh stops at an error."""
    folder = dataset_dir(name)
    texts = [f"{folder} lacks {file}" for file in FILES if not (folder / file).is_file()]
    if not config_path(name).is_file():
        texts.append(f"{config_path(name)} is missing, the parameters of the stages")
    script = folder / "main.sh"
    if script.is_file() and "set -euo pipefail" not in script.read_text():
        texts.append(f"{script} lacks 'set -euo pipefail', so it goes on after an error")
    if (folder / "sources.yaml").is_file():
        try:
            load_sources(folder / "sources.yaml")  # a run of a miniature does without
        except UsageError as e:
            texts.append(str(e))
    return Answer([Finding(name, text) for text in texts], str(folder))


def spec_says_what_consumers_need(name: str) -> Answer:
    """Whether the facts are there that training code selects and scales by."""
    spec = load_recipe(name).SPEC
    texts = []
    if spec.name != name:
        texts.append(f"SPEC.name is {spec.name!r}; expected the folder's name")
    # Training code selects datasets by the beginning of their image paths.
    is_helper = spec.kind == "helper"
    if not is_helper and not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]*)*", spec.image_dir):
        texts.append(
            f"SPEC.image_dir is {spec.image_dir!r}; expected one folder name of lower-case "
            "letters, digits and underscores"
        )
    for field in ("licence", "citation"):
        if not getattr(spec, field):
            texts.append(f"SPEC.{field} is empty")
    # Without one, people must stand along the up of their cameras: see world.py.
    if spec.world_up is not None and not np.isclose(np.linalg.norm(spec.world_up), 1):
        texts.append(f"SPEC.world_up is {spec.world_up}; expected a unit vector")
    note = f"{spec.kind}, {spec.image_dir}, {spec.joint_info.n_joints} joints"
    return Answer([Finding(name, text) for text in texts], note)


def artefacts_are_there(name: str, root: Path) -> Answer:
    """Whether a helper left the files behind that it says it leaves, with what is expected."""
    files = artefacts_of(name, root)
    texts = [f"{file} is missing or empty" for file in files if not _has_content(file)]
    if not files:
        texts.append("artefacts() names no file")
    expected = read_truth(root / name).artefacts
    for path, content in expected.items():
        found = (root / path).read_text() if (root / path).is_file() else ""
        if isinstance(content, str):
            if found != content:
                texts.append(f"{path}: found {shortened(found)}; expected {shortened(content)}")
            continue
        found = json.loads(found or "{}")
        texts += [
            f"{path}: {key}: found {shortened(found.get(key))}; expected {shortened(value)}"
            for key, value in content.items()
            if found.get(key) != value
        ]
    note = f"{len(files)} files, the content of {len(expected)} compared"
    return Answer([Finding(name, text) for text in texts], note)


def artefacts_of(name: str, root: Path) -> list[Path]:
    """Returns the files and folders that a helper says it leaves below ``root``."""
    recipe = load_recipe(name)
    config = load_config(name, getattr(recipe, "Options", NoOptions))
    with data_root(root):
        return [Path(file) for file in recipe.artefacts(root / name, config.dataset)]


def _has_content(path: Path) -> bool:
    return bool(names_in(path)) or (path.is_file() and path.stat().st_size > 0)


def second_run_leaves_artefacts(name: str, root: Path, run_again: Callable[[], object]) -> Answer:
    """Whether a rerun of a helper's main.sh leaves its files as they are.

    Args:
        name: The helper.
        root: DATA_ROOT, with its files.
        run_again: Runs main.sh once more.
    """
    files = [f for path in artefacts_of(name, root) for f in (path, *files_below(path, "**/*"))]
    before = _seen(files)
    run_again()
    after = _seen(files)
    texts = [f"{f} was written again" for f in before if before[f] != after.get(f)]
    return Answer([Finding(name, text) for text in texts], f"{len(before)} files untouched")


def _seen(files: Iterable[Path]) -> dict[Path, tuple[int, str]]:
    """Returns time and digest of the files among what is named."""
    return {
        f: (f.stat().st_mtime_ns, hashlib.sha256(f.read_bytes()).hexdigest())
        for f in sorted(files)
        if f.is_file()
    }


def counts_are_those_of_the_card(sample: Sample) -> Answer:
    """Whether manifest and dataset hold the expected number of examples per split."""
    name, manifest = sample.name, sample.manifest
    expected = {split: sample.truth.counts.get(split, 0) for split in SPLITS}
    packed = dict(Counter(split for split, _ in sample.paths))
    texts = []
    for what, found in (("manifest says", manifest["counts"]), ("dataset holds", packed)):
        for split in SPLITS:
            if found.get(split, 0) != expected[split]:
                n = found.get(split, 0)
                texts.append(f"the {what} {n} {split} examples; expected {expected[split]}")
    if not manifest["inputs"]:
        texts.append("the manifest names no file that was read")
    for unit in manifest["quarantined_units"]:
        texts.append(f"quarantined: {unit['file']}: {unit['reason']}")
    note = ", ".join(f"{n} {split}" for split, n in expected.items())
    return Answer([Finding(name, text) for text in texts], note)


def examples_are_those_of_the_card(sample: Sample) -> Answer:
    """Whether every expected (sequence, frame, person) is there once, in its split."""
    from posepile.miniature.truth import example_key

    name, truth = sample.name, sample.truth
    findings = []
    paths = Counter(path for _, path in sample.paths)
    findings += [
        Finding(name, f"the path occurs {n} times", path) for path, n in paths.items() if n > 1
    ]
    prefix = f"{sample.spec.image_dir}/"
    findings += [
        Finding(name, f"the path does not start with {prefix}", path)
        for path in paths
        if not path.startswith(prefix)
    ]
    if not truth.sequences:
        if findings:
            return Answer(findings)
        return not_asked("the miniature does not say which frames are expected")
    found: dict[tuple, str] = {}
    for split, path in sample.paths:
        key = example_key(truth, path)
        if key is None:
            findings.append(Finding(name, "the path names no sequence of the miniature", path))
            continue
        found[key.sequence, key.frame, key.person] = path
        wanted = truth.sequences[key.sequence].split
        if split != wanted:
            findings.append(Finding(name, f"is in {split}; expected in {wanted}", path))
    expected = {
        (s, frame, person) for s, t in truth.sequences.items() for frame, person in t.examples
    }
    for sequence, frame, person in sorted(expected - found.keys()):
        text = f"sequence {sequence}, frame {frame}, person {person} is missing"
        findings.append(Finding(name, text))
    for key in sorted(found.keys() - expected):
        findings.append(Finding(name, f"frame {key[1]}, person {key[2]} is too many", found[key]))
    note = f"{len(expected)} expected in {len(truth.sequences)} sequences"
    return Answer(findings, note)


def outputs(sample: Sample) -> dict[Path, tuple[int, str]]:
    """Returns time and digest of the files that a run leaves for users."""
    root, name = sample.root, sample.name
    return _seen([*root.glob(f"{name}.barecat*"), root / "cache" / f"{name}.pkl"])


def second_run_does_nothing(sample: Sample, run_again) -> Answer:
    """Whether a rerun of main.sh finds everything current.

    Args:
        sample: The processed miniature.
        run_again: Runs main.sh once more and returns what it printed.
    """
    before = outputs(sample)
    printed = run_again()
    texts = []
    if " 0 done now" not in printed:
        texts.append("the second run worked on units again; expected none")
    if "is packed and current" not in printed:
        texts.append("the second run packed again")
    after = outputs(sample)
    texts += [
        f"{f} was written again" for f in sorted(before | after) if before.get(f) != after.get(f)
    ]
    note = f"{len(before)} files untouched"
    return Answer([Finding(sample.name, text) for text in texts], note)


def opens_without_us(sample: Sample) -> Answer:
    """Whether a reader written from the format document sees the same in another process."""
    from posepile.checking import reference_reader
    from posepile.export.upstream import export_upstream

    name = sample.name
    archive = sample.root / f"{name}.barecat"
    with tempfile.TemporaryDirectory() as folder:
        with data_root(sample.root):
            export_upstream(archive, Path(folder, "notes.barecat"))
        # A copy outside the package: run as a program it must not find posepile beside itself.
        reader = Path(folder, "reader.py")
        reader.write_text(Path(reference_reader.__file__).read_text())
        done = subprocess.run(
            [sys.executable, str(reader), str(Path(folder, "notes.barecat")), str(archive)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=clean_environment(network=False),
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Answer([Finding(name, f"the independent reader failed: {last}")])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    by_path = {line["image_path"]: line for line in lines}
    findings = []
    if len(lines) != len(sample.paths) or len(by_path) != len(lines):
        text = f"the independent reader sees {len(by_path)} paths in {len(lines)} entries"
        findings.append(Finding(name, f"{text}; expected {len(sample.paths)}"))
    for shown in sample.shown:
        line = by_path.get(shown.path)
        if line is None:
            findings.append(Finding(name, "the independent reader does not see it", shown.path))
            continue
        findings += [Finding(name, text, shown.path) for text in _disagreements(line, shown)]
    return Answer(findings, f"{len(lines)} entries agree")


def _disagreements(line: dict, shown) -> list[str]:
    texts = []
    if line["impath"] != shown.path or line["split"] != shown.split:
        texts.append(f"the entry says {line['impath']} in {line['split']}")
    if line["jpeg"] != "ffd8ffd9":
        texts.append("the image is not a whole JPEG")
    if not np.allclose(line["bbox"], shown.example.bbox, atol=1e-3):
        texts.append(f"the entry's box is {line['bbox']}, ours {shown.example.bbox.tolist()}")
    ours = points_of(shown.example)
    theirs = np.array([p or [np.nan] * 2 for p in line["points"]]).reshape(-1, 2)
    if len(ours) and not np.allclose(theirs, ours, atol=0.3, equal_nan=True):
        texts.append(f"joints differ by up to {np.nanmax(np.abs(theirs - ours)):.2f} px")
    return texts
