"""Predictions in pickles, read as plain data: one per clip, or one of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.evaluation.benchmark import Clip, Predictions, Setup
from posepile.evaluation.forms import check_pred, per_clip, read_pred_pickle, unit_text
from posepile.evaluation.predictions import WRITE_AGAIN
from posepile.files import files_below
from posepile.formats.folders import names_like
from posepile.formats.schema import Array


def track_clip(
    name: str, people: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], n_frames: int
) -> Clip:
    """Returns a clip of people followed over some frames, for :func:`track_pickles`.

    >>> clip = track_clip("walk", [(np.array([2, 5]), {"joints": np.zeros((2, 24, 3))})], 9)
    >>> clip.keys, clip.truth["place"].tolist(), clip.truth["axes"][0].tolist()
    (['person 0, frame 2', 'person 0, frame 5'], [[0, 2], [0, 5]], [1, 9])

    Args:
        name: Of the clip.
        people: Of each the frames that are evaluated ``[n]``, and the truth of these.
        n_frames: Of the clip.
    """
    truth = {key: np.concatenate([one[key] for _, one in people]) for key in people[0][1]}
    place = [(p, int(frame)) for p, (frames, _) in enumerate(people) for frame in frames]
    truth["place"] = np.array(place, np.int64).reshape(-1, 2)
    truth["axes"] = np.tile((len(people), n_frames), (len(place), 1))
    return Clip(name, [f"person {p}, frame {frame}" for p, frame in place], truth)


def track_pickles(arrays: Mapping[str, str], setup: Setup, **more: Any) -> Predictions:
    """Returns predictions in a pickle per clip, ``<clip>.pkl``, of all its people and frames.

    Of the arrays those are read that the truth has as well: one at least, and the same in all
    files. They begin with the axes person and frame; the other axes are as long as those of the
    truth. What stands where nobody is evaluated does not matter. ``units`` in a file says what
    its lengths are in.

    >>> import pickle
    >>> from argparse import Namespace
    >>> _ = (folder / "walk.pkl").write_bytes(pickle.dumps({"xyz": np.ones((1, 9, 24, 3))}))
    >>> clip = track_clip("walk", [(np.array([2, 5]), {"joints": np.zeros((2, 24, 3))})], 9)
    >>> opened = track_pickles({"joints": "xyz"}, Namespace(pred_path=folder))
    >>> opened.take(clip).arrays["joints"].shape
    (2, 24, 3)

    Args:
        arrays: Our name -> name in the files.
        setup: Names the folder.
        **more: Attributes of :class:`Predictions`.
    """
    path = setup.pred_path
    there = {str(f.relative_to(path).with_suffix("")): f for f in files_below(path, "**/*.pkl")}
    first: dict[str, tuple[Path, set[str]]] = {}

    def read(file: Path, clip: Clip) -> dict[str, Any]:
        lengths = clip.truth["axes"][0].tolist()
        known = {ours: key for ours, key in arrays.items() if ours in clip.truth}
        schema = {
            f"{key}?": Array(*lengths, *clip.truth[ours].shape[1:], finite=False)
            for ours, key in known.items()
        }
        content = read_pred_pickle(file, {**schema, "units?": None})
        found = {ours: content[key] for ours, key in known.items() if key in content}
        if not found:
            reason = f"found no {' and no '.join(known.values())}; expected it"
            raise CorruptInput(file, reason, hint=WRITE_AGAIN)
        of, names = first.setdefault("file", (file, set(found)))
        if odd := set(found) ^ names:
            key, where = arrays[min(odd)], "not " if min(odd) in names else ""
            reason = f"{key} is {where}there, unlike in {of}; expected in all files, or in none"
            raise CorruptInput(file, reason, hint=WRITE_AGAIN)
        rows = tuple(clip.truth["place"].T)
        taken = {ours: values[rows] for ours, values in found.items()}
        return taken | ({"units": unit_text(content["units"], file)} if "units" in content else {})

    more = {"what": "sequence", **more}
    return per_clip(path, lambda clip: there.get(clip.name), read, names=list(there), **more)


def pickle_of_clips(
    path: Path, shapes: Mapping[str, Sequence[int | str]], **more: Any
) -> Predictions:
    """Returns predictions of one pickle, ``{clip: {name: [N, ...]}}``, of all N frames.

    A clip says in its truth which frames are evaluated (``frame`` ``[n]``) of how many
    (``n_frames`` ``[n]``).

    >>> import pickle
    >>> _ = (folder / "all.pkl").write_bytes(pickle.dumps({"walk": {"pose": np.ones((9, 72))}}))
    >>> clip = Clip("walk", ["2"], {"frame": np.array([2]), "n_frames": np.array([9])})
    >>> pickle_of_clips(folder / "all.pkl", {"pose": (72,)}).take(clip).arrays["pose"].shape
    (1, 72)

    Args:
        path: The file.
        shapes: Name of each array -> lengths of its axes behind the frames.
        **more: Attributes of :class:`Predictions`.
    """
    content = read_pred_pickle(path, {"*": dict.fromkeys(shapes)})

    def read(file: Path, clip: Clip) -> dict[str, Any]:
        n = int(clip.truth["n_frames"][0])
        schema = {key: Array(n, *axes, finite=False) for key, axes in shapes.items()}
        found = check_pred(content[clip.name], schema, file, clip.name)
        return {key: values[clip.truth["frame"]] for key, values in found.items()}

    more = {"what": "sequence", **more}
    find = dict.fromkeys(content, path).get
    return per_clip(path, lambda clip: find(clip.name), read, names=list(content), **more)


def frame_pickles(
    path: Path, folders: Mapping[str, Path], shapes: Mapping[str, tuple[int, ...]], **more: Any
) -> Predictions:
    """Returns predictions in a folder per clip with a numbered pickle of every frame.

    >>> import pickle
    >>> (folder / "walk").mkdir()
    >>> _ = (folder / "walk" / "0.pkl").write_bytes(pickle.dumps({"pose": np.ones((24, 3))}))
    >>> clip = Clip("walk", ["0"], {"frame": np.array([0]), "n_frames": np.array([1])})
    >>> opened = frame_pickles(folder, {"walk": folder / "walk"}, {"pose": (72,)})
    >>> opened.take(clip).arrays["pose"].shape
    (1, 72)

    Args:
        path: The folder of all.
        folders: Clip -> its folder. A clip says in its truth which frames are evaluated
            (``frame`` ``[n]``) of how many (``n_frames`` ``[n]``).
        shapes: Name of each array -> its shape in one frame; files may have other shapes of as
            many numbers.
        **more: Attributes of :class:`Predictions`.
    """

    def read(folder: Path, clip: Clip) -> dict[str, Any]:
        files, n = list(names_like(folder, r"\d+\.pkl")), int(clip.truth["n_frames"][0])
        if len(files) != n:
            reason = f"found {len(files)} pickles; expected {n}, one of each frame"
            raise CorruptInput(folder, reason, hint="predict every frame, and no other")
        rows = [_frame_arrays(folder / files[i], shapes) for i in clip.truth["frame"]]
        return {key: np.stack([row[key] for row in rows]) for key in shapes}

    more = {"what": "sequence", **more}
    return per_clip(path, lambda clip: folders.get(clip.name), read, names=list(folders), **more)


def _frame_arrays(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    found = read_pred_pickle(file, {key: Array(..., finite=False) for key in shapes})
    for key, shape in shapes.items():
        if found[key].size != np.prod(shape):
            reason = f"{key}: found shape {found[key].shape}; expected {shape}"
            raise CorruptInput(file, reason, hint=WRITE_AGAIN)
    return {key: found[key].reshape(shape) for key, shape in shapes.items()}
