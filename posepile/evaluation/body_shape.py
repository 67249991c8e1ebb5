"""Bodies whose shape is compared: by the model of each person's gender, at rest, in one size."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from posepile.bodies.fitting import fit_bodies
from posepile.bodies.models import body_forward, load_body_model
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation.benchmark import Clip, Setup
from posepile.evaluation.checked import LARGEST_RATIO
from posepile.evaluation.silhouettes import crop_masks, draw_meshes, pinhole
from posepile.metrics import align, joint_errors, overlap_pixels, pooled_iou, silhouette_ious

# COCO's face joints (nose, eyes, ears, left first) are vertices of SMPL, the others its joints.
COCO_VERTICES = (332, 2800, 6260, 583, 4071)
COCO_JOINTS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)


def bodies_by_gender(
    kind: str,
    genders: Sequence[str],
    params: Mapping[str, np.ndarray],
    *,
    models_root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Returns bodies, each by the model of its gender, as they are posed and in rest pose.

    The translation is added in double precision: bodies may be far away.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> params = {"pose": np.zeros((2, 72)), "shape": np.zeros((2, 10)), "trans": np.ones((2, 3))}
    >>> found = bodies_by_gender("smpl", ["male", "female"], params, models_root=folder)
    >>> {name: values.shape for name, values in found.items()}
    {'joints': (2, 24, 3), 'vertices': (2, 330, 3), 'rest': (2, 330, 3)}

    Args:
        kind: As of :func:`posepile.bodies.models.body_forward`.
        genders: Of each body.
        params: ``pose`` ``[n, 3J]``, ``shape`` ``[n, B]``; perhaps ``trans`` ``[n, 3]``, metres.
        models_root: As there.

    Returns:
        ``joints`` ``[n, J, 3]``, ``vertices`` and ``rest`` ``[n, V, 3]``, millimetres.
    """
    genders = np.asarray(genders)
    found: dict[str, np.ndarray] = {}
    for gender in np.unique(genders).tolist():
        rows = genders == gender
        body = {"pose": params["pose"][rows], "shape": params["shape"][rows]}
        still = {**body, "pose": np.zeros_like(body["pose"])}
        posed, rest = (
            body_forward(kind, gender, b, models_root=models_root) for b in (body, still)
        )
        for name, values in {**posed, "rest": rest["vertices"]}.items():
            shape = (len(genders), *values.shape[1:])
            found.setdefault(name, np.empty(shape, np.float64))[rows] = values
    if "trans" in params:
        for name in ("joints", "vertices"):
            found[name] += params["trans"][:, None]
    return {name: 1000 * values for name, values in found.items()}


def _coco_joints(joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Returns COCO's 17 joints ``[n, 17, 3]`` of SMPL's bodies.

    Args:
        joints: ``[n, 24, 3]``.
        vertices: ``[n, 6890, 3]``.

    Raises:
        WorkError: There are fewer vertices.
    """
    if vertices.shape[1] <= max(COCO_VERTICES):
        found = f"the SMPL model has {vertices.shape[1]} vertices"
        raise WorkError(f"{found}; COCO's face joints need those of the official one (6890)")
    return np.concatenate([vertices[:, COCO_VERTICES], joints[:, COCO_JOINTS]], axis=1)


def _shape_errors(pred: np.ndarray, true: np.ndarray, *, scale: bool = True) -> np.ndarray:
    """Returns distances of vertices ``[n, V]`` once both bodies have one middle, and one size.

    The size is the RMS distance of the vertices from their mean; nothing is rotated.

    Args:
        pred: ``[n, V, 3]``.
        true: ``[n, V, 3]``.
        scale: Bring them to one size.
    """
    pred = pred - pred.mean(axis=1, keepdims=True)
    true = true - true.mean(axis=1, keepdims=True)
    if scale:
        sizes = [np.sqrt((body**2).sum(axis=2).mean(axis=1)) for body in (true, pred)]
        pred = pred * (sizes[0] / sizes[1])[:, None, None]
    return np.linalg.norm(pred - true, axis=2)


def rest_figures(pred: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the means of :func:`_shape_errors` over vertices: PVE-T-SC and PVE-T, ``[n]``.

    >>> true = np.random.default_rng(0).normal(size=(2, 330, 3))
    >>> [float(values.max().round(1)) for values in rest_figures(2 * true, true).values()]
    [0.0, 1.6]

    Args:
        pred: Bodies in rest pose ``[n, V, 3]``, millimetres.
        true: ``[n, V, 3]``.
    """
    scaled, moved = (_shape_errors(pred, true, scale=scale) for scale in (True, False))
    return {"PVE-T-SC_mm": scaled.mean(axis=1), "PVE-T_mm": moved.mean(axis=1)}


def fit_figures(
    pred: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    draw: Callable[[np.ndarray], np.ndarray],
    models_root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Returns figures of predicted surfaces and of neutral SMPL bodies fitted to them, ``[n]``.

    Points weigh more the surer they are: their uncertainty to the power of -1.5, by the mean of
    all of the body.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> bare = {"pose": np.zeros((1, 72)), "shape": np.zeros((1, 10))}
    >>> true = bodies_by_gender("smpl", ["neutral"], bare, models_root=folder)
    >>> sure = {"vertex_uncertainties": np.ones((1, 330)), "joint_uncertainties": np.ones((1, 24))}
    >>> draw = lambda vertices: np.ones((len(vertices), 4, 4), bool)
    >>> sorted(fit_figures(true | sure, true, draw, folder))
    ['MVE-fit_mm', 'MVE_mm', 'PVE-T-SC_mm', 'PVE-T_mm', 'mIOU', 'mIOU-fit']

    Args:
        pred: ``vertices``, ``joints``, millimetres, and ``vertex_uncertainties`` ``[n, V]``,
            ``joint_uncertainties`` ``[n, J]``.
        true: ``vertices``, ``joints`` and ``rest``.
        draw: Makes silhouettes of vertices.
        models_root: As of :func:`posepile.bodies.models.body_forward`.

    Returns:
        ``mIOU``, ``MVE_mm`` (joint 0 of both in one place), and with ``-fit`` those of the fitted
        bodies; ``PVE-T-SC_mm`` and ``PVE-T_mm`` of these.
    """
    weights = {}
    for name in ("vertex", "joint"):
        sure = pred[f"{name}_uncertainties"] ** -1.5
        weights[f"{name}_weights"] = sure / sure.mean(axis=1, keepdims=True)
    points = pred["vertices"] / 1000, pred["joints"] / 1000
    fitted = fit_bodies("smpl", "neutral", *points, models_root=models_root, **weights)
    neutral = ["neutral"] * len(fitted["pose"])
    rest = bodies_by_gender("smpl", neutral, fitted, models_root=models_root)["rest"]
    figures, masks = rest_figures(rest, true["rest"]), draw(true["vertices"])
    in_mm = {name: 1000 * fitted[name].astype(np.float64) for name in ("vertices", "joints")}
    for end, body in (("", pred), ("-fit", in_mm)):
        seen = overlap_pixels(draw(body["vertices"]), masks)
        figures[f"mIOU{end}"] = silhouette_ious(*seen)
        rooted = [b["vertices"] - b["joints"][:, :1] for b in (body, true)]
        figures[f"MVE{end}_mm"] = joint_errors(*rooted).mean(axis=1)
    return figures


def crop_figures(
    body: Mapping[str, np.ndarray],
    seen: np.ndarray,
    true: Mapping[str, np.ndarray],
    intrinsics: np.ndarray,
    *,
    size: int = 256,
    enlarged: float = 1.2,
) -> dict[str, np.ndarray]:
    """Returns figures of SMPL's bodies that are measured in square crops, and of their surface.

    >>> rng = np.random.default_rng(0)
    >>> body = {"vertices": rng.normal(0, 300, (1, 6890, 3)), "joints": np.zeros((1, 24, 3))}
    >>> masks, box = np.ones((1, 64, 64), bool), np.array([[32, 32, 40]])
    >>> true = {**body, "silhouettes": masks, "joints2D": np.zeros((1, 17, 2)), "box": box}
    >>> found = crop_figures(body, masks, true, np.eye(3))
    >>> int(found["common_px"][0]) == 256**2, float(found["PVE-PA_mm"].max().round(6))
    (True, 0.0)

    Args:
        body: ``vertices`` and ``joints``, millimetres, in the frame of the camera.
        seen: Silhouettes, bool ``[n, h, w]``.
        true: ``vertices``; ``silhouettes``; ``joints2D`` ``[n, 17, 2]`` pixels, COCO; ``box``
            ``[n, 3]``: x, y of the middle and side of the square, pixels.
        intrinsics: Of the camera, ``[3, 3]``.
        size: Of the crops.
        enlarged: By how much the square is.

    Returns:
        ``common_px`` and ``either_px``, pixels of the silhouettes' intersection and union ``[n]``;
        ``joints2D_px`` ``[n, 17]``; ``PVE-PA_mm`` ``[n]``, aligned by all vertices.
    """
    middles, sides = true["box"][:, :2], enlarged * true["box"][:, 2]
    crops = [crop_masks(masks, middles, sides, size) for masks in (seen, true["silhouettes"])]
    common, either = overlap_pixels(*crops)
    pixels = pinhole(_coco_joints(body["joints"], body["vertices"]), intrinsics)
    off = np.linalg.norm(pixels - true["joints2D"], axis=2) * (size / sides)[:, None]
    moved = align(body["vertices"], true["vertices"])
    surface = joint_errors(moved, true["vertices"]).mean(axis=1)
    figures = {"common_px": common, "either_px": either}
    return figures | {"joints2D_px": off, "PVE-PA_mm": surface}


def with_pooled_iou(setup: Setup, figures: dict[str, float]) -> dict[str, float]:
    """Returns figures with ``IOU`` where pixels were counted, of those of all pictures together.

    >>> with_pooled_iou(None, {"common_px": 30.0, "either_px": 40.0})["IOU"]
    0.75

    As :attr:`posepile.evaluation.benchmark.Benchmark.finish`.
    """
    counted = [figures[key] for key in ("common_px", "either_px") if key in figures]
    return figures | ({"IOU": pooled_iou(*counted)} if counted else {})


def drawing(
    kind: str,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    models_root: str | os.PathLike | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from vertices ``[n, V, 3]`` to silhouettes, bool ``[n, h, w]``.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> lens = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
    >>> drawing("smpl", lens, (64, 48), folder)(np.full((1, 330, 3), 9.0)).shape
    (1, 48, 64)

    Args:
        kind: Of the bodies, whose faces are taken.
        intrinsics: As of :func:`posepile.evaluation.silhouettes.draw_meshes`, as is ``size``.
        size: Width and height.
        models_root: As of :func:`posepile.bodies.models.body_forward`.
    """
    faces = load_body_model(kind, "neutral", models_root=models_root).faces
    return lambda vertices: draw_meshes(vertices, faces, intrinsics, size)


def refuse_far(setup: Setup, clip: Clip, pred: np.ndarray, true: np.ndarray) -> None:
    """Refuses translations of which the unit is likely another one, unless it was stated.

    >>> from argparse import Namespace
    >>> from pathlib import Path
    >>> setup = Setup(Path(), Path("a.npz"), None, Namespace(units=None))
    >>> true = np.array([[0.0, 0, 4000]])
    >>> refuse_far(setup, Clip("walk", ["0"], {}), 1000 * true, true)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: a.npz: trans of walk: bodies are 4e+06 mm from the camera, ...

    Args:
        setup: What is asked for.
        clip: Whose predictions these are.
        pred: ``[n, 3]`` mm, from the camera.
        true: ``[n, 3]`` mm.

    Raises:
        CorruptInput: They are 8 times nearer or farther than the true ones in the median.
    """
    away, expected = (float(np.median(np.linalg.norm(t, axis=1))) for t in (pred, true))
    if setup.args.units or expected / LARGEST_RATIO < away < expected * LARGEST_RATIO:
        return
    found = f"bodies are {away:.4g} mm from the camera, the true ones {expected:.4g} mm"
    reason = f"trans of {clip.name}: {found}"
    raise CorruptInput(setup.pred_path, reason, hint="say which unit it is: --units m, cm or mm")
