"""``python -m posepile.checking.mutants [NAME…]``: is the contract test able to fail?

For each dataset the miniature is made and run by main.sh as always. Then its units are processed
again, once as they are and once for every fault of :mod:`.faults`, within this process, where the
recipe's functions are wrapped; each time all questions are asked. A fault that nobody sees is a
hole in the contract test, or in the miniature. Of a helper, the files that it leaves are changed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import yaml

from posepile.checking.artefact_faults import try_artefact_faults
from posepile.checking.check import OF_SAMPLE, ask, check_dataset
from posepile.checking.faults import FAULTS, Fault, Planting
from posepile.checking.sample import data_root, open_sample
from posepile.ds import dataset_names, load_recipe
from posepile.errors import PosePileError
from posepile.files import read_json
from posepile.miniature.truth import read_truth

KILLED_IN = 4  # datasets in which each kind of fault must be seen
PER_SPLIT = 10  # examples whose pictures are looked at

# Costs a process and depends on nothing that a fault changes.
QUESTIONS = {name: question for name, question in OF_SAMPLE.items() if name != "reader"}


@dataclass(frozen=True)
class Fate:
    """What became of a fault in one dataset.

    Attributes:
        fault: Its name.
        state: ``killed``, ``survived`` or ``cannot be seen``.
        by: Who has seen it, or what is absent.
        seconds: Processor time.
    """

    fault: str
    state: str
    by: str
    seconds: float = 0.0


class Base:
    """A processed miniature whose units are processed again with a fault.

    Args:
        name: The dataset.
        root: DATA_ROOT of the finished run.
        work: A folder for the runs with a fault.
    """

    def __init__(self, name: str, root: Path, work: Path):
        self.name, self.root, self.work = name, root, work
        self.recipe = load_recipe(name)
        self.truth = read_truth(root / name)
        self.config = read_json(root / f"{name}.barecat.manifest.json")["config"]
        colors = self.truth.colors or [()] * self.recipe.SPEC.joint_info.n_joints
        drawn = [j for j, color in enumerate(colors) if color is not None]
        self.planting = Planting(self.recipe.SPEC, self.config, drawn)

    def run(self, fault: Fault | None) -> tuple[list[str], int]:
        """Processes all units with a fault and asks all questions.

        Returns:
            Who has seen something wrong, and how many places the fault changed.
        """
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        changed = [0]
        try:
            with data_root(self.work), planted(fault, self, changed):
                self._process()
        except PosePileError as e:
            return [f"run: {e}"], changed[0]
        if fault is not None and not changed[0]:
            return [], 0
        sample = open_sample(self.name, self.work, PER_SPLIT, truth=self.truth)
        with data_root(self.work):
            seen_by = [n for n, q in QUESTIONS.items() if ask(q, sample, self.name).findings]
        return seen_by, changed[0]

    def _process(self) -> None:
        from posepile.run import commands
        from posepile.run.job import make_run
        from posepile.run.process import default_stages

        config = self.config | {
            "dataset": (self.config["dataset"] or {}) | {"root": str(self.root / self.name)},
            # Within this process, where the recipe is wrapped.
            "run": self.config["run"] | {"isolate": False},
            # It would see some of the faults first; here the questions are asked.
            "check": {"enabled": False},
        }
        path = self.work / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        run = make_run(self.name, (), path, jobs=1, quiet=True)
        with contextlib.redirect_stdout(io.StringIO()):
            commands.process(run, default_stages(run.config))
            commands.pack(run)


@contextlib.contextmanager
def planted(fault: Fault | None, base: Base, changed: list[int]) -> Iterator[None]:
    """Wraps the recipe's functions, or those of the crop stage, so that they have the fault.

    Args:
        fault: None = everything as it is.
        base: The dataset.
        changed: One number, to which the number of changed places is added.
    """
    from posepile.imaging import cropping
    from posepile.stages import crop

    if fault is None:
        yield
        return
    list_units, load_unit = base.recipe.list_units, base.recipe.load_unit
    choose_boxes, render_many = crop.choose_boxes, cropping.render_many

    def faulty_list(root, options):
        units, n = fault.units(list(list_units(root, options)))
        changed[0] += n
        return units

    def faulty_load(root, unit, options):
        sequences = load_unit(root, unit, options)
        changed[0] += sum(fault.sequence(base.planting, s) for s in sequences)
        return sequences

    def faulty_boxes(*arguments):
        boxes = list(choose_boxes(*arguments))
        changed[0] += fault.boxes(boxes)
        return boxes

    def faulty_pictures(*arguments):
        for image in render_many(*arguments):
            changed[0] += 1
            yield fault.picture(image).copy()

    with contextlib.ExitStack() as stack:
        for wanted, owner, name, faulty in (
            (fault.units, base.recipe, "list_units", faulty_list),
            (fault.sequence, base.recipe, "load_unit", faulty_load),
            (fault.boxes, crop, "choose_boxes", faulty_boxes),
            (fault.picture, cropping, "render_many", faulty_pictures),
        ):
            if wanted is not None:
                stack.enter_context(mock.patch.object(owner, name, faulty))
        yield


def try_faults(base: Base, faults: Sequence[Fault] = FAULTS) -> Iterator[Fate]:
    """Yields what becomes of each fault, first of none, which must be seen by nobody."""
    for fault in (None, *faults):
        start = time.process_time()
        seen_by, n = base.run(fault)
        seconds = time.process_time() - start
        if fault is None:
            state, by = ("seen", ", ".join(seen_by)) if seen_by else ("ok", "")
            yield Fate("none", state, by, seconds)
        elif not n:
            yield Fate(fault.name, "cannot be seen", fault.absent, seconds)
        elif seen_by:
            yield Fate(fault.name, "killed", ", ".join(seen_by), seconds)
        else:
            yield Fate(fault.name, "survived", f"{n} places were changed", seconds)


def try_dataset(name: str, folder: Path, faults: Sequence[Fault] = FAULTS) -> list[Fate]:
    """Makes a dataset's miniature, plants faults and prints what becomes of them."""
    root = folder / "base"
    root.mkdir(parents=True)
    print(f"{name}:", flush=True)
    with data_root(root):
        wrong = {q: answer for q, answer in check_dataset(name, root) if answer.findings}
    if wrong:
        print("\n".join(line for q, answer in wrong.items() for line in answer.lines(q)))
        return [Fate("none", "seen", ", ".join(wrong))]
    if load_recipe(name).SPEC.kind == "helper":
        with data_root(root):
            tried = list(try_artefact_faults(name, root))
        fates = [Fate(fault, "killed" if seen else "survived", "") for fault, seen in tried]
        print("\n".join(f"  {fate.fault:50} {fate.state}" for fate in fates), flush=True)
        return [Fate("none", "ok", ""), *fates]
    fates = []
    for fate in try_faults(Base(name, root, folder / "faulty"), faults):
        fates.append(fate)
        line = f"  {fate.fault:36} {fate.state:15} {fate.by[:120]}".rstrip()
        print(f"{line}  [{fate.seconds:.1f} s]", flush=True)
    return fates


def verdict(fates: dict[str, list[Fate]], every_dataset: bool) -> list[str]:
    """Returns what is not as it must be.

    Args:
        fates: By dataset.
        every_dataset: All datasets were tried, so each kind must be killed in several.
    """
    problems = []
    for name, of_dataset in fates.items():
        for fate in of_dataset:
            if fate.state == "seen":
                problems.append(f"{name}: without any fault: {fate.by}")
            elif fate.state == "survived":
                problems.append(f"{name}: {fate.fault}: survived")
    everywhere = [fate for of_dataset in fates.values() for fate in of_dataset]
    for fault in FAULTS if every_dataset else ():
        n = sum(fate.state == "killed" and fate.fault == fault.name for fate in everywhere)
        if n < KILLED_IN:
            problems.append(f"{fault.name}: killed in {n} datasets; expected {KILLED_IN} or more")
    return problems


def main(argv: list[str] | None = None) -> int:
    """Tries all faults on the named datasets, or on all; 1 if the contract test has a hole."""
    parser = argparse.ArgumentParser(prog="python -m posepile.checking.mutants")
    parser.add_argument("names", metavar="DATASET", nargs="*")
    args = parser.parse_args(argv)
    fates = {}
    for name in args.names or dataset_names():
        with tempfile.TemporaryDirectory(prefix=f"posepile-mutants-{name}-") as folder:
            fates[name] = try_dataset(name, Path(folder))
    problems = verdict(fates, not args.names)
    for problem in problems:
        print(f"mutants: {problem}")
    n = sum(fate.state == "killed" for of_dataset in fates.values() for fate in of_dataset)
    print(f"mutants: {n} killed in {len(fates)} datasets; {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
