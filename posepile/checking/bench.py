"""A dataset's miniature in its states, and a place where runs of it are killed and resumed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from posepile.checking.leftovers import contents, differences, held_locks, users_of
from posepile.checking.victims import At, Watched, kill, left_of, processes_of, started
from posepile.ds import dataset_dir
from posepile.errors import WorkError

ARCHIVES = 3  # into which the raw files are packed


class Bench:
    """A dataset's miniature in its states, and a place to run it.

    Args:
        name: The dataset.
        folder: For all that is written.
        url: Where the web server finds what lies in ``folder/served``.
        rng: Random numbers.
    """

    def __init__(self, name: str, folder: Path, url: str, rng: random.Random):
        self.name, self.folder, self.rng = name, folder, rng
        # Always the same path: what is current is current in a copy, too.
        self.live = folder / "live"
        self.root = self.live / "data"
        self.log = folder / "log"
        self.sources = folder / "sources.yaml"
        self.environment = {
            "DATA_ROOT": str(self.root),
            "CACHE_DIR": str(self.root / "cache"),
            "TMPDIR": str(self.live / "tmp"),
            "PYTHON": sys.executable,
        }
        self.lasted: dict[str, float] = {}
        self.operations: dict[str, int] = {}
        self.expected: dict[bool, dict[str, str]] = {}
        self.sessions: set[int] = set()
        self._serve(url)
        self._make_states()

    # ------------------------------------------------------------ states

    def _serve(self, url: str) -> None:
        """Packs the raw files into archives and writes where they are to be fetched."""
        from posepile.run.raw import build_miniature

        raw = self.folder / "raw"
        build_miniature(self.name, raw)
        files = sorted(p for p in raw.rglob("*") if p.is_file())
        served = self.folder / "served"
        served.mkdir()
        lines = [f"dataset: {self.name}", "sources:"]
        for i in range(ARCHIVES):
            archive = served / f"{i}.{'zip' if i % 2 else 'tar.gz'}"
            inside = [(p, p.relative_to(raw).as_posix()) for p in files[i::ARCHIVES]]
            _archive(archive, inside)
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            lines.append(f"  - name: raw-{i}")
            lines.append(f"    url: {url}/{self.name}/served/{archive.name}")
            lines.append("    extract: {to: .}")
            lines += [f"    sha256: {digest}"] if i else []
        self.sources.write_text("\n".join(lines) + "\n")

    def _make_states(self) -> None:
        """Runs the miniature undisturbed, all at once and step by step, keeping each state."""
        self._clear()
        with self.run() as run:
            _require(run.finish() == 0, self._said("the undisturbed run"))
        self.lasted, self.operations = dict(run.lasted), run.operations
        self.expected[False] = contents(self.root, self.name)
        self._clear()
        self._keep("nothing")
        with self.run(steps=("calibrate",)) as run:
            _require(run.finish() == 0, self._said("the download"))
        self._keep("downloaded")
        for step, state in (("process", "processed"), ("pack", "packed")):
            with started(self._words(step), self.environment, self.log) as run:
                _require(run.finish() == 0, self._said(f"the step {step}"))
            if state == "packed":
                (self.root / f"{self.name}_work" / "report.html").unlink()
            self._keep(state)
        self._clear()
        self._keep("script")
        start = time.monotonic()
        with self.script() as run:
            _require(run.wait() == 0, self._said("main.sh"))
        self.lasted["script"] = time.monotonic() - start
        self.expected[True] = contents(self.root, self.name)

    def _clear(self) -> None:
        shutil.rmtree(self.live, ignore_errors=True)
        for folder in (self.root, self.live / "tmp"):
            folder.mkdir(parents=True)

    def _keep(self, state: str) -> None:
        shutil.copytree(self.live, self.folder / "states" / state)

    def restore(self, state: str) -> None:
        """Brings a state back."""
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.folder / "states" / state, self.live)
        self.log.unlink(missing_ok=True)

    def _said(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"{self.name}: {what} failed: {' / '.join(lines[-3:]) or 'it said nothing'}"

    # ------------------------------------------------------------ runs

    def _words(self, *step: str, retry: bool = False) -> list[str]:
        words = ["step", self.name, *step] if step else ["run", self.name]
        words += ["--miniature", "--jobs", "2", "--quiet"]
        return [*words, "--retry"] if retry else words

    def run(
        self, steps: tuple[str, ...] = (), retry: bool = False, at: At | None = None
    ) -> AbstractContextManager[Watched]:
        """Starts a download and then all steps, or one, in a forked process."""
        from posepile.acquire.download import run_download

        def download() -> None:
            run_download(self.name, self.sources, self.root / self.name)

        words = self._words(*steps, retry=retry)
        return started(words, self.environment, self.log, before=download, at=at)

    @contextlib.contextmanager
    def script(self, retry: bool = False) -> Iterator[subprocess.Popen]:
        """Starts main.sh."""
        script = dataset_dir(self.name) / "main.sh"
        options = ["--miniature", "--jobs", "2", "--quiet", *(["--retry"] if retry else [])]
        with (
            open(self.log, "ab") as log,
            subprocess.Popen(
                ["bash", str(script), *options],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                kill(processes_of(process.pid))

    def see_end_of(self, session: int) -> None:
        """Requires that nothing goes on of a run that has ended.

        Raises:
            WorkError: Something does; it is ended now.
        """
        self.sessions.add(session)
        left = left_of(session)
        kill(left)
        _require(not left, f"{len(left)} processes go on after their run was killed")

    def resume(self, script: bool, retry: bool) -> None:
        """Lets a run end that was killed.

        Raises:
            WorkError: It fails.
        """
        if script:
            with self.script(retry=retry) as process:
                code = process.wait()
                self.see_end_of(process.pid)
        else:
            with self.run(retry=retry) as run:
                code = run.finish()
                self.see_end_of(run.pid)
        _require(code == 0, self._said(f"going on (exit code {code})"))

    def problems(self, script: bool) -> list[str]:
        """Returns what a resumed run left otherwise than one that nobody disturbed."""
        problems = differences(self.expected[script], contents(self.root, self.name))
        problems += [f"left in TMPDIR: {n}" for n in sorted(os.listdir(self.live / "tmp"))]
        shared = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []
        problems += [
            f"left in /dev/shm: {n}" for n in shared if any(str(s) in n for s in self.sessions)
        ]
        problems += [f"still held: {p.relative_to(self.root)}" for p in held_locks(self.root)]
        problems += [f"process {p} uses {f}" for p, f in users_of(self.live).items()]
        return problems


def _archive(archive: Path, files: list[tuple[Path, str]]) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as z:
            for file, name in files:
                z.write(file, name)
    else:
        with tarfile.open(archive, "w:gz", compresslevel=1) as t:
            for file, name in files:
                t.add(file, name)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise WorkError(otherwise)
