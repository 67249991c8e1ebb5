"""Motion-adaptive selection: which annotated frames become examples, decided by the poses alone.

Video is redundant: neighbouring frames show nearly the same pose. A frame is kept when the person
has moved enough, i.e. when in comparison with poses kept before at least one joint is at least
``threshold_mm`` away (or as many joints as ``min_moved`` says). With ``method: last`` the
comparison is with the last kept pose; with ``method: ring`` it is with *every* one of the last
``buffer`` kept poses, so that a movement repeated over and over is not sampled again each time.

No pixel is needed for this, which is what allows reading only the kept frames afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import UsageError

if TYPE_CHECKING:
    from posepile.recipe import Track


class SelectParams(BaseModel):
    """Keys below ``select:`` in a dataset's configuration.

    Attributes:
        method: ``last`` (compare with the last kept pose), ``ring`` (compare with each of the last
            ``buffer`` kept poses) or ``none`` (keep every annotated frame).
        threshold_mm: A pose differs from another when some joint is at least this far away.
        buffer: How many kept poses ``ring`` remembers. ``last`` is the same as a buffer of one.
        check_validity: Keep a frame in which a joint became valid since the last kept pose; joints
            missing in the frame at hand then take no part in comparisons.
        unfiltered: Splits of which every annotated frame is kept, as where a benchmark says which.
        min_moved: So many joints must be that far away; where fewer can be compared, all of them.
        missing_is_unchanged: A joint missing in either pose counts as not moved (kept poses carry
            the position where it was last seen). Otherwise a missing joint counts as moved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["last", "ring", "none"] = "last"
    threshold_mm: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    buffer: int = Field(default=100, ge=1)
    min_moved: int = Field(default=1, ge=1)
    check_validity: bool = False
    unfiltered: tuple[Literal["train", "val", "test"], ...] = ()
    missing_is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """One person in one frame that shall become an example; ``k`` indexes the track's arrays."""

    frame: int
    track: Track
    k: int


def select_frames(coords: np.ndarray, params: SelectParams) -> np.ndarray:
    """Decides which frames of one person to keep.

    A joint with any non-finite coordinate is missing. The first frame with a valid joint is kept;
    a frame without any valid joint never is (it would be an example of nothing), unless ``method``
    is ``none``.

    Args:
        coords: ``[n, J, 3]`` joint positions in millimetres, in time order, NaN = missing.
        params: The rule.

    Returns:
        int64 ``[k]``: positions along the first axis that are kept, ascending.

    Raises:
        UsageError: ``coords`` has another shape, or poses without joints shall be compared.
    """
    coords = np.asarray(coords)
    if coords.ndim != 3 or coords.shape[2] != 3:
        raise UsageError(
            f"select: joint positions have shape {coords.shape}, expected [frames, joints, 3]"
        )
    n, n_joints = coords.shape[:2]
    if params.method == "none":
        return np.arange(n, dtype=np.int64)
    if n == 0:
        return np.empty(0, np.int64)
    if n_joints == 0:
        raise UsageError(
            f"select: there are no joints to compare for method '{params.method}'; "
            "set select.method=none to keep every frame"
        )
    poses = np.array(coords, np.float64, order="C")
    valid = np.isfinite(poses).all(axis=-1)
    poses[~valid] = np.nan
    keep = _compiled_scan()(
        poses,
        valid,
        float(params.threshold_mm),
        1 if params.method == "last" else min(params.buffer, n),
        params.min_moved,
        params.check_validity,
        params.missing_is_unchanged,
    )
    return np.flatnonzero(keep).astype(np.int64)


def compile_scan() -> None:
    """Calls the compiled loop on a few poses; see ``imaging.warmup``."""
    select_frames(np.zeros((2, 1, 3)), SelectParams(method="ring"))


@cache
def _compiled_scan():
    """The compiled loop; numba is imported only where selection is really run."""
    from posepile.imaging.kernels import compiled

    return compiled()(_scan)


def _scan(poses, valid, threshold, n_buffer, min_moved, check_validity, missing_is_unchanged):
    """Walks over the frames in order, with a ring buffer of kept poses.

    Args:
        poses: float64 ``[n, J, 3]``, whole joints NaN where missing.
        valid: bool ``[n, J]``.
        threshold: Millimetres.
        n_buffer: Size of the ring buffer.
        min_moved: See :class:`SelectParams`.
        check_validity: See :class:`SelectParams`.
        missing_is_unchanged: See :class:`SelectParams`.

    Returns:
        bool ``[n]``: kept or not.
    """
    n, n_joints = valid.shape
    threshold_sq = threshold * threshold
    kept = np.zeros((n_buffer, n_joints, 3))
    kept_valid = np.zeros((n_buffer, n_joints), np.bool_)
    n_kept = 0
    keep = np.zeros(n, np.bool_)
    for i in range(n):
        if not valid[i].any():
            continue
        last = (n_kept - 1) % n_buffer
        far_from_all = True
        compared = n_kept == 0
        newly_valid = False
        if n_kept > 0 and check_validity:
            for j in range(n_joints):
                if valid[i, j] and not kept_valid[last, j]:
                    newly_valid = True
                    break
        if n_kept > 0 and not newly_valid:
            # Newest first: the likeliest pose to be near, and one near pose settles the matter.
            for back in range(min(n_kept, n_buffer)):
                b = (last - back) % n_buffer
                n_far = 0
                n_compared = 0
                for j in range(n_joints):
                    if check_validity and not valid[i, j]:
                        continue
                    if valid[i, j] and kept_valid[b, j]:
                        n_compared += 1
                        d0 = poses[i, j, 0] - kept[b, j, 0]
                        d1 = poses[i, j, 1] - kept[b, j, 1]
                        d2 = poses[i, j, 2] - kept[b, j, 2]
                        if d0 * d0 + d1 * d1 + d2 * d2 >= threshold_sq:
                            n_far += 1
                    elif not missing_is_unchanged:
                        n_compared += 1
                        n_far += 1
                    if n_far >= min_moved:
                        break
                # A kept pose without any joint in common says nothing about this frame; were it
                # to count as near, it could block everything until it leaves the buffer.
                if n_compared > 0:
                    compared = True
                    if n_far < min(min_moved, n_compared):
                        far_from_all = False
                        break
        if newly_valid or (compared and far_from_all):
            keep[i] = True
            slot = n_kept % n_buffer
            for j in range(n_joints):
                if valid[i, j]:
                    kept[slot, j] = poses[i, j]
                    kept_valid[slot, j] = True
                elif missing_is_unchanged and n_kept > 0:
                    kept[slot, j] = kept[last, j]
                    kept_valid[slot, j] = kept_valid[last, j]
                else:
                    kept_valid[slot, j] = False
            n_kept += 1
    return keep
