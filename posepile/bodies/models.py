"""Joints from body-model parameters: thin over smplfitter.

The model files are licensed and lie below ``$SMPLFITTER_BODY_MODELS``, else
``$DATA_ROOT/body_models``, in smplfitter's layout (``smplx/SMPLX_NEUTRAL.npz``,
``smplh16/neutral/model.npz``, ...). Lengths are in metres here, as in the parameters themselves.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from posepile.bodies.joints import N_JOINTS
from posepile.bodies.model_files import readable_model
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import names_in
from posepile.paths import named_folder

_GENDERS = {"f": "female", "m": "male", "n": "neutral"}
_LABELS = {
    **{"smpl": "SMPL", "smplh": "SMPL-H", "smplh16": "SMPL-H", "smplx": "SMPL-X"},
    **{"smplxlh": "SMPL-X (locked head)", "smplxmoyo": "SMPL-X (MOYO)"},
}


def body_joints(
    kind: str, gender: str, params: Mapping, *, models_root: str | os.PathLike | None = None
) -> np.ndarray:
    """Computes joint positions by forward kinematics: ``joints`` of :func:`body_forward`.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> body = {"pose": np.zeros((5, 72)), "shape": np.zeros(10)}
    >>> body_joints("smpl", "male", body, models_root=folder).shape
    (5, 24, 3)
    """
    result = body_forward(kind, gender, params, vertices=False, models_root=models_root)
    return result["joints"]


def body_forward(
    kind: str,
    gender: str,
    params: Mapping,
    *,
    vertices: bool = True,
    orientations: bool = False,
    every: int = 1,
    at: Sequence[int] | None = None,
    models_root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Computes joint positions, and vertices if wanted, of a posed and shaped body.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> body = {"pose": np.zeros(72), "shape": np.zeros(10), "trans": np.array([0, 0, 3.0])}
    >>> body_forward("smpl", "male", body, models_root=folder)["vertices"].shape
    (1, 330, 3)

    Args:
        kind: ``smpl``, ``smplh`` (taken from ``smplh16`` when neutral, when more than 10 betas are
            given or when the 10-beta file is absent), ``smplh16``, ``smplx``, ``smplxlh``,
            ``smplxmoyo``.
        gender: ``male``, ``female`` or ``neutral``; only the first letter counts.
        params: ``pose`` ``[T, 3J]`` rotation vectors in radians (``[3J]``: T = 1), full hands with
            the mean already added; ``shape`` ``[n]`` or ``[T, n]``; ``trans`` ``[T, 3]`` or
            ``[3]`` metres (absent: 0); optionally ``expression``, ``kid_factor``, ``scale`` (of
            everything after translation, absent: 1), as docs/FORMAT.md lists them.
        vertices: Compute vertices, too (much slower).
        orientations: Return the rotation of each body part, too.
        every: Compute only every n-th vertex; 1 = all.
        at: Compute only these vertices, in this order; None = all.
        models_root: Folder that holds the model folders; default as in the module docstring.

    Returns:
        ``joints`` float32 ``[T, J, 3]`` and perhaps ``vertices`` ``[T, V, 3]``, metres, and
        ``orientations`` ``[T, J, 3, 3]``, from each part at rest to where it is in the world.

    Raises:
        UsageError: smplfitter is not installed, or an unknown kind or gender.
        WorkError: The model file is not on disk, or array shapes that do not fit.
    """
    pose = np.atleast_2d(np.asarray(params["pose"], np.float32))
    n = len(pose)
    if kind not in N_JOINTS:
        raise UsageError(f"body model kind {kind!r} is unknown; known: {', '.join(N_JOINTS)}")
    if pose.ndim != 2 or pose.shape[1] != 3 * N_JOINTS[kind]:
        raise WorkError(
            f"{kind} pose has shape {np.shape(params['pose'])}; "
            f"expected [T, {3 * N_JOINTS[kind]}] rotation vectors"
        )
    shape = np.atleast_2d(np.asarray(params.get("shape", np.zeros(0)), np.float32))
    model = load_body_model(
        kind, gender, n_betas=shape.shape[1], every=every, at=at, models_root=models_root
    )
    if shape.shape[1] > model.num_betas:
        raise WorkError(
            f"{shape.shape[1]} shape components given, but the {kind} model on disk has only "
            f"{model.num_betas}; get the model file with more components"
        )
    expression = () if params.get("expression") is None else params["expression"]
    expression = np.atleast_2d(np.asarray(expression, np.float32))
    if expression.size and not kind.startswith("smplx"):
        raise WorkError(f"expression given, but {kind} bodies have none; leave it out")
    trans = np.atleast_2d(np.asarray(params.get("trans", np.zeros(3)), np.float32))
    kid = np.ravel(np.asarray(params.get("kid_factor", 0.0), np.float32))
    scale = np.ravel(np.asarray(params.get("scale", 1.0), np.float32))
    try:
        if expression.size:
            shape = _with_expression(shape, expression, model)
        shape = np.broadcast_to(shape, (n, shape.shape[1]))
        trans = np.broadcast_to(trans, (n, 3))
        kid = np.broadcast_to(kid, (n,))
        scale = np.broadcast_to(scale, (n,))[:, None, None]
    except ValueError as e:
        raise WorkError(f"{kind} parameters of {n} poses do not fit together: {e}") from e
    result = model(pose, shape, trans, kid, return_vertices=vertices)
    names = ("joints", "vertices") if vertices else ("joints",)
    found = {name: (result[name] * scale).astype(np.float32) for name in names}
    return found | ({"orientations": result["orientations"]} if orientations else {})


def move_body(
    kind: str,
    gender: str,
    params: Mapping,
    transform: np.ndarray,
    *,
    models_root: str | os.PathLike | None = None,
) -> dict:
    """Returns the parameters of a body, or of ``T`` poses of it, after its world was moved.

    The body turns about the origin of the world, its parameters about the pelvis: hence the rest
    pelvis of that shape and gender is needed.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> body = {"pose": np.zeros(72), "shape": np.zeros(10), "trans": np.zeros(3)}
    >>> step = np.eye(4)
    >>> step[0, 3] = 1.5
    >>> move_body("smpl", "male", body, step, models_root=folder)["trans"].round(4)
    array([1.5, 0. , 0. ])

    Args:
        kind: As in :func:`body_forward`.
        gender: As there.
        params: As there, with ``pose`` ``[3J]`` or ``[T, 3J]``, ``shape`` ``[n]``, ``trans``
            ``[3]`` or ``[T, 3]`` and, if given, one ``scale``.
        transform: ``[4, 4]`` or ``[T, 4, 4]``, from the old world to the new one, metres; a
            rotation and a translation.
        models_root: As there.
    """
    from scipy.spatial.transform import Rotation

    shaping = ("shape", "expression", "kid_factor")
    rest = {key: params[key] for key in shaping if params.get(key) is not None}
    rest["pose"] = np.zeros(3 * N_JOINTS[kind])
    pelvis = body_joints(kind, gender, rest, models_root=models_root)[0, 0].astype(np.float64)
    transform = np.asarray(transform, np.float64)
    # The scale is applied after the translation, so it must not enlarge the way that was moved.
    turn, move = transform[..., :3, :3], transform[..., :3, 3] / params.get("scale", 1.0)
    pose = np.array(params["pose"], np.float64)
    root = Rotation.from_matrix(turn) * Rotation.from_rotvec(pose[..., :3])
    pose[..., :3] = root.as_rotvec()
    trans = (turn @ (pelvis + params["trans"])[..., None])[..., 0] + move - pelvis
    return {**params, "pose": pose, "trans": trans}


def load_body_model(
    kind: str,
    gender: str,
    *,
    n_betas: int | None = None,
    every: int = 1,
    at: Sequence[int] | None = None,
    models_root: str | os.PathLike | None = None,
):
    """Returns smplfitter's ``BodyModel``, read once; errors are those of :func:`body_forward`.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> load_body_model("smpl", "neutral", models_root=folder).num_joints
    24

    Args:
        kind: As in :func:`body_forward`.
        gender: As there.
        n_betas: As in :func:`find_body_model`.
        every: As in :func:`body_forward`.
        at: As there.
        models_root: As there.
    """
    path = require_body_model(kind, gender, n_betas=n_betas, models_root=models_root)
    # Files do not change during a run, so folder and gender identify the model.
    root = models_folder(models_root)
    name = path.relative_to(root).parts[0]
    some = None if at is None else tuple(map(int, at))
    return _load_model(name, gender[0].lower(), str(root / name), every, some)


def find_body_model(
    kind: str,
    gender: str,
    *,
    n_betas: int | None = None,
    models_root: str | os.PathLike | None = None,
) -> Path | None:
    """Looks for the model file without reading it.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> find_body_model("smpl", "neutral", models_root=folder).is_file()
    True
    >>> find_body_model("smplx", "neutral", models_root=folder) is None
    True

    Args:
        kind: As in :func:`body_forward`.
        gender: As there.
        n_betas: Number of shape components that will be given; decides between the two SMPL-H
            files.
        models_root: As in :func:`body_forward`.

    Returns:
        The file, or None if it is not on disk.

    Raises:
        UsageError: Unknown kind or gender, or ``SMPLFITTER_BODY_MODELS`` is no folder.
    """
    root = models_folder(models_root)
    for file in _model_files(kind, gender, n_betas):
        path = root / file
        if path.name in names_in(path.parent):
            return path
    return None


def require_body_model(
    kind: str,
    gender: str,
    *,
    n_betas: int | None = None,
    models_root: str | os.PathLike | None = None,
) -> Path:
    """Returns the model file without reading it.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> require_body_model("smpl", "neutral", models_root=folder).parent.name
    'smpl'

    Arguments are those of :func:`find_body_model`.

    Raises:
        UsageError: As there.
        WorkError: It is not on disk; says where it belongs.
    """
    path = find_body_model(kind, gender, n_betas=n_betas, models_root=models_root)
    if path is None:
        file = _model_files(kind, gender, n_betas)[0]
        raise WorkError(
            f"{kind} {gender} body model: {file} not found below "
            f"{models_folder(models_root)}; get it as README.md says under Body models (licence "
            "needed), or set SMPLFITTER_BODY_MODELS to the folder that holds the model folders"
        )
    return path


def lacking_models(
    kind: str,
    genders: Iterable[str],
    root: Path,
    lost: str,
    *,
    models_root: str | os.PathLike | None = None,
) -> list[str]:
    """Returns one line that names the body models not on disk and their place, or no line.

    >>> lacking_models("smplx", ["male"], folder, "hands lack their mean")[0].split(":")[0]
    'without SMPLX_MALE.npz hands lack their mean'

    Args:
        kind: As in :func:`body_forward`.
        genders: Those that are needed.
        root: Raw folder of the dataset, whose ``body_models`` they are looked for in as well.
        lost: What becomes of results without them.
        models_root: As there.
    """
    models_root = models_below(root) if models_root is None else models_root
    missing = [g for g in genders if find_body_model(kind, g, models_root=models_root) is None]
    if not missing:
        return []
    files = [_model_files(kind, gender)[0] for gender in missing]
    folder = Path(models_root or root / "body_models")
    names = ", ".join(file.name for file in files)
    places = " and ".join(dict.fromkeys(str((folder / file).parent) for file in files))
    elsewhere = "$DATA_ROOT/body_models or SMPLFITTER_BODY_MODELS"
    return [f"without {names} {lost}: put them into {places} (or below {elsewhere})"]


def parameters_note(
    kind: str,
    gender: str,
    *,
    n_betas: int | None = None,
    models_root: str | os.PathLike | None = None,
) -> str:
    """Returns the note of examples whose parameters need a body model; empty if it is on disk.

    >>> parameters_note("smplx", "male", models_root=folder)
    'no body parameters, since the SMPL-X file was not found'

    Arguments and errors are those of :func:`find_body_model`.
    """
    if find_body_model(kind, gender, n_betas=n_betas, models_root=models_root):
        return ""
    return f"no body parameters, since the {_LABELS[kind]} file was not found"


def model_files(kind: str, genders: Iterable[str], root: Path) -> list[Path]:
    """Returns the body models that are on disk, as inputs of the units that need them.

    >>> model_files("smplx", ["male"], folder)
    []

    Args:
        kind: As in :func:`body_forward`.
        genders: Those that are needed.
        root: As for :func:`lacking_models`.
    """
    found = [find_body_model(kind, g, models_root=models_below(root)) for g in genders]
    return [path for path in found if path is not None]


def models_below(root: Path, named: str | os.PathLike | None = None) -> Path | None:
    """Returns ``body_models`` of a dataset's raw folder, None if there is nothing in it.

    To be handed over as ``models_root``: whoever has put the files there means these.

    >>> models_below(folder) is None
    True
    >>> (folder / "body_models" / "smpl").mkdir(parents=True)
    >>> models_below(folder).name
    'body_models'

    Args:
        root: The raw folder.
        named: The folder that ``dataset.body_models`` names, which goes before.

    Raises:
        UsageError: The named folder does not exist.
    """
    if named is not None:
        return named_folder(named, "dataset.body_models")
    inside = Path(root) / "body_models"
    return inside if names_in(inside) else None


def _with_expression(shape: np.ndarray, expression: np.ndarray, model) -> np.ndarray:
    """Appends expression columns where the v1.1 (300 + 100) or v1.0 (10 + 10) basis has them."""
    start = 300 if model.num_betas >= 400 else 10
    if shape.shape[1] > start or start + expression.shape[1] > model.num_betas:
        raise WorkError(
            f"{shape.shape[1]} betas and {expression.shape[1]} expression components do not fit "
            f"the SMPL-X model on disk ({model.num_betas} columns)"
        )
    n = max(len(shape), len(expression))
    out = np.zeros((n, start + expression.shape[1]), np.float32)
    out[:, : shape.shape[1]] = shape
    out[:, start:] = expression
    return out


def models_folder(models_root: str | os.PathLike | None = None) -> Path:
    """Returns the folder that holds the model folders, whether it is there or not.

    >>> models_folder(folder) == folder
    True

    Args:
        models_root: The folder itself; None: the one that the module's docstring names.

    Raises:
        UsageError: ``SMPLFITTER_BODY_MODELS`` is no folder.
    """
    if models_root is not None:
        return Path(models_root)
    if named := os.environ.get("SMPLFITTER_BODY_MODELS"):
        return named_folder(named, "environment variable SMPLFITTER_BODY_MODELS")
    if os.environ.get("DATA_ROOT"):
        return Path(os.environ["DATA_ROOT"]) / "body_models"
    return Path("body_models")


def _model_files(kind: str, gender: str, n_betas: int | None = None) -> list[Path]:
    """Returns the files that may hold a model, below the models' folder, the preferred first."""
    if kind != "smplh":
        return [_model_file(kind, gender)]
    # Betas of the two releases belong to different bases; AMASS and all synthetic sets use the
    # 16-component one, so that one is preferred wherever it is present.
    files = [_model_file("smplh16", gender)]
    # The 10-beta release has no neutral model.
    if gender[:1].lower() != "n" and (n_betas is None or n_betas <= 10):
        files.append(_model_file("smplh", gender))
    return files


def _model_file(kind: str, gender: str) -> Path:
    letter = gender[:1].lower()
    if kind not in N_JOINTS:
        raise UsageError(f"body model kind {kind!r} is unknown; known: {', '.join(N_JOINTS)}")
    if letter not in _GENDERS:
        raise UsageError(f"body model gender {gender!r} is unknown; known: male, female, neutral")
    word = _GENDERS[letter]
    if kind == "smpl":
        short = "neutral" if letter == "n" else letter
        return Path(kind) / f"basicmodel_{short}_lbs_10_207_0_v1.1.0.pkl"
    if kind == "smplh":
        return Path(kind) / f"SMPLH_{word}.pkl"
    if kind == "smplh16":
        return Path(kind) / word / "model.npz"
    return Path(kind) / f"SMPLX_{word.upper()}.npz"


@functools.lru_cache(maxsize=8)
def _load_model(
    name: str, letter: str, folder: str, every: int = 1, at: tuple[int, ...] | None = None
):
    try:
        from smplfitter.np import BodyModel
    except ImportError as e:
        raise UsageError(
            "joints from body-model parameters need smplfitter; pip install 'smplfitter>=0.6'"
        ) from e
    some = None if at is None else np.array(at)
    if every > 1:
        some = np.arange(0, _load_model(name, letter, folder).num_vertices, every)
    path, copy = Path(folder).parent / _model_file(name, letter), folder
    try:
        with readable_model(path, Path(folder)) as copy:
            return BodyModel(name, _GENDERS[letter], model_root=str(copy), vertex_subset=some)
    except FileNotFoundError as e:
        said = "; ".join(str(e).split("\n"))
        raise WorkError(said.replace(str(copy), folder)) from e
    except (ValueError, KeyError, OSError, EOFError) as e:
        raise CorruptInput(folder, f"{name} model cannot be read: {e}") from e
