"""The suspects of a dataset for the viewer: looked for in another process, while one browses."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np

from posepile.errors import PosePileError, one_line
from posepile.terminal import note


class Quality:
    """What is odd about the examples of a dataset, as soon as it is known.

    Args:
        build: Name or file of the dataset.
        dataset: The same, opened.

    Attributes:
        state: ``idle``, ``looking``, ``ready`` or ``failed``.
        problem: Why it failed.
    """

    def __init__(self, build: str, dataset: Any):
        self._build, self._dataset = build, dataset
        self.state, self.problem = "idle", ""
        self._found: dict[str, Any] = {}
        self._rows: dict[str, dict[int, list[int]]] = {}
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._ended = False

    def start(self) -> None:
        """Begins to look, once; returns at once."""
        with self._lock:
            if self.state != "idle":
                return
            self.state = "looking"
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        try:
            from posepile.suspects.kept import unpacked_suspects

            with self._lock:
                if self._ended:
                    return
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "posepile.suspects.apart", self._build],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            data, said = self._process.communicate()
            if self._process.returncode:
                last = said.decode(errors="replace").strip().rpartition("\n")[2]
                raise RuntimeError(last or f"ended with {self._process.returncode}")
            found = unpacked_suspects(data, self._dataset)
            self._rows = {split: _by_position(each.positions) for split, each in found.items()}
            self._found = found
            self.state = "ready"
        except Exception as e:  # the viewer goes on without
            self.problem = f"{e}" if isinstance(e, PosePileError) else one_line(e)
            self.state = "failed"
            note(f"suspects of {self._build}: {self.problem}")

    def stop(self) -> None:
        """Ends the search, if it is still going on."""
        with self._lock:
            self._ended = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def of_split(self, split: str) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
        """Returns positions worst first, numbers of their kinds, and the names of the kinds."""
        found = self._found.get(split)
        if self.state != "ready" or found is None:
            return None
        from posepile.suspects.found import KINDS

        return np.asarray(found.positions), np.asarray(found.kinds).astype(int), list(KINDS)

    def kinds(self, split: str) -> dict[str, str]:
        """Returns kind -> meaning, of the kinds of which there are examples in a split."""
        every = self.of_split(split)
        if every is None:
            return {}
        from posepile.suspects.found import KINDS

        there = set(every[1].tolist())
        return {kind: KINDS[kind] for number, kind in enumerate(KINDS) if number in there}

    def about(self, split: str, position: int) -> list[dict[str, Any]]:
        """Returns kind, reason and score of everything that is odd about an example."""
        found = self._found.get(split)
        rows = self._rows.get(split, {}).get(position, ())
        return [
            {"kind": found.kind(i), "reason": found.reason(i), "score": float(found.scores[i])}
            for i in rows
        ]


def _by_position(positions):
    result: dict[int, list[int]] = {}
    for i, position in enumerate(np.asarray(positions).tolist()):
        result.setdefault(position, []).append(i)
    return result
