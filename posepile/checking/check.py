"""The contract test of one dataset: makes its miniature, runs its main.sh, asks all questions."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import posepile
from posepile.acquire.credentials import clean_environment
from posepile.checking import origins, pictures, whole, world
from posepile.checking.findings import Answer, Finding
from posepile.checking.sample import Sample, data_root, open_sample
from posepile.ds import dataset_dir, load_recipe
from posepile.errors import PosePileError, UsageError, WorkError, one_line
from posepile.files import require_place
from posepile.miniature import TRUTH

# Asked of a folder as it is.
OF_FOLDER: dict[str, Callable[[str], Answer]] = {
    "folder": whole.folder_is_complete,
    "spec": whole.spec_says_what_consumers_need,
}
# Asked of a processed miniature, in this order.
OF_SAMPLE: dict[str, Callable[[Sample], Answer]] = {
    "counts": whole.counts_are_those_of_the_card,
    "examples": whole.examples_are_those_of_the_card,
    "joints": pictures.joints_are_on_the_discs,
    "boxes": pictures.boxes_fit_the_person,
    "masks": pictures.masks_are_the_drawn_person,
    "frames": pictures.frames_are_those_recorded,
    "persons": pictures.persons_are_those_recorded,
    "world": world.world_is_in_millimetres,
    "cameras": world.cameras_see_the_person,
    "mirroring": world.nothing_is_mirrored,
    "origins": origins.origins_are_told_by_ids,
    "reader": whole.opens_without_us,
}


def check_dataset(name: str, root: Path, seed: int = 0) -> Iterator[tuple[str, Answer]]:
    """Yields questions about a dataset with their answers; none after a run that failed.

    Args:
        name: The dataset.
        root: An empty folder for its miniature, DATA_ROOT of the run.
        seed: Of the miniature.
    """
    for question, function in OF_FOLDER.items():
        yield question, ask(function, name, name)
    yield "run", ask(lambda n: _first_run(n, root, seed), name, name)
    if not (root / name / TRUTH).is_file():
        return
    if load_recipe(name).SPEC.kind == "helper":
        yield "artefacts", ask(lambda n: whole.artefacts_are_there(n, root), name, name)
        again = lambda n: whole.second_run_leaves_artefacts(n, root, lambda: run_main(n, root))  # noqa: E731
        yield "second run", ask(again, name, name)
    elif (root / f"{name}.barecat.manifest.json").is_file():
        sample = open_sample(name, root)
        for question, function in OF_SAMPLE.items():
            yield question, ask(function, sample, name)
        again = lambda s: whole.second_run_does_nothing(s, lambda: run_main(name, root))  # noqa: E731
        yield "second run", ask(again, sample, name)


def ask(function: Callable[[Any], Answer], subject: Any, name: str) -> Answer:
    """Returns the answer to a question; that it could not be answered is a finding."""
    try:
        return function(subject)
    except PosePileError as e:
        return Answer([Finding(name, str(e))])
    except Exception as e:  # whatever a recipe at work in somebody's own folder leads to
        line = traceback.extract_tb(e.__traceback__)[-1]
        text = f"{type(e).__name__}: {one_line(e)} ({line.filename}, line {line.lineno})"
        return Answer([Finding(name, f"the question cannot be answered: {text}")])


def _first_run(name: str, root: Path, seed: int) -> Answer:
    make_miniature(name, root, seed)
    run_main(name, root)
    return Answer(note="main.sh --miniature")


def make_miniature(name: str, root: Path, seed: int) -> None:
    """Makes the raw files with a seed of one's own; those of seed 0 are made by main.sh itself."""
    if seed:
        from posepile.run.raw import build_miniature

        build_miniature(name, root / name, seed)


def run_main(name: str, root: Path) -> str:
    """Runs a dataset's main.sh on its miniature and returns what it printed.

    Raises:
        WorkError: It failed.
    """
    done = run_script(name, root, "--miniature")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing"]
        # The error names a list of all that is quarantined, which may be gone by then.
        why = [line.strip() for line in done.stdout.splitlines() if "  quarantined: " in line]
        text = "; ".join([said[-1], *why[:1]])
        script = dataset_dir(name) / "main.sh"
        raise WorkError(f"{script} --miniature: exit {done.returncode}: {text}")
    return done.stdout


def run_script(name: str, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a dataset's main.sh as a user does, with this Python and this package.

    Args:
        name: The dataset.
        root: DATA_ROOT.
        *options: Options of main.sh.
    """
    unwanted = ("CACHE_DIR", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
    environment = {k: v for k, v in clean_environment().items() if k not in unwanted}
    package = str(Path(posepile.__file__).parent.parent)

    def joined(*paths: str | None) -> str:
        return os.pathsep.join(p for p in paths if p)

    environment |= {
        "DATA_ROOT": str(root),
        "PYTHON": sys.executable,
        "PYTHONPATH": joined(package, os.environ.get("PYTHONPATH")),
        # A folder outside the package may call the command of this environment by its name.
        "PATH": joined(os.environ.get("PATH"), str(Path(sys.executable).parent)),
    }
    return subprocess.run(
        ["bash", str(dataset_dir(name) / "main.sh"), *options, "--quiet"],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def check(
    names: list[str],
    keep: Path | None = None,
    seed: int = 0,
    found: dict[str, dict[str, Answer]] | None = None,
) -> bool:
    """Checks datasets one after the other and prints what was found.

    Args:
        names: The datasets.
        keep: Folder in which to leave the data, below the dataset's name; None = nowhere.
        seed: Of the miniatures.
        found: Takes the answers, by dataset and question.

    Returns:
        Whether all is well.

    Raises:
        UsageError: An unknown dataset, or data in the way.
    """
    for name in names:
        dataset_dir(name)
        if keep is not None and (keep / name).exists():
            raise UsageError(f"{keep / name} exists; name another folder")
        if keep is not None:
            require_place(keep / name, f"--keep {keep}")
    failed = []
    for name in names:
        print(f"{name}:", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"posepile-check-{name}-") as folder:
            root = Path(folder) if keep is None else keep.absolute() / name
            root.mkdir(parents=True, exist_ok=True)
            answers = {}
            with data_root(root):
                for question, answer in check_dataset(name, root, seed):
                    answers[question] = answer
                    print("\n".join(answer.lines(question)), flush=True)
        if found is not None:
            found[name] = answers
        wrong = [question for question, answer in answers.items() if answer.findings]
        asked = sum(answer.asked for answer in answers.values())
        if wrong:
            failed.append(name)
            if keep is None:
                print(f"{name}: the data is gone; --keep DIR leaves it in DIR to look at")
            print(f"{name}: FAILED: {', '.join(wrong)}")
        else:
            print(f"{name}: ok, {asked} of {len(answers)} questions asked")
        if keep is not None:
            look = "status" if load_recipe(name).SPEC.kind == "helper" else "view"
            print(f"{name}: the data is in {root}; DATA_ROOT={root} posepile {look} {name}")
    return not failed
