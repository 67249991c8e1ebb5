"""SSP-3D: body shape in a T-pose, and silhouettes, in the three ways in use."""

import cv2
import numpy as np

from references import bodies
from references.common import distances, find_body_models, procrustes
from references.entries import folder_of, mean, pairs_of

FOCAL, CENTRE, SIZE = 5000.0, (256.0, 256.0), (512, 512)
CROP, ENLARGED = 256, 1.2
GENDERS = {"m": "male", "f": "female"}
# COCO's joints among the 24 of SMPL and, negative, vertices: nose, eyes, ears, left first.
COCO = [-332, -2800, -6260, -583, -4071, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]


def truth(root, protocol):
    """Returns by file name the labels, the models and what follows of them; metres, pixels."""
    folder = folder_of(root, "ssp_3d")
    labels = np.load(folder / "labels.npz")
    models = {g: bodies.load_model(root, "smpl", g) for g in ("neutral", "male", "female")}
    out = {}
    for i, name in enumerate(labels["fnames"].tolist()):
        model = models[GENDERS[str(labels["genders"][i])[0]]]
        pose, betas = labels["poses"][i].reshape(24, 3), labels["shapes"][i]
        vertices, joints = bodies.pose_body(model, pose, betas, labels["cam_trans"][i])
        rest, _ = bodies.pose_body(model, np.zeros((24, 3)), betas)
        mask = cv2.imread(str(folder / "silhouettes" / name), 0)
        out[name] = {
            "model": models["neutral"] if protocol != "ssp3d.official" else model,
            "vertices": vertices, "joints": joints, "rest": rest, "mask": mask > 0,
            "joints2D": labels["joints2D"][i, :, :2].astype(float), "faces": model["f"],
            "centre": labels["bbox_centres"][i], "side": float(labels["bbox_whs"][i]),
            "root": root,
            "pose": pose.astype(float), "betas": betas.astype(float),
            "trans": labels["cam_trans"][i].astype(float),
        }  # fmt: skip
    return out


def guess(truth, rng, protocol):
    """Returns predictions near the truth, by file name."""
    out = {}
    for name, true in truth.items():
        if protocol == "ssp3d.posepile":
            out[name] = {
                "vertices": true["vertices"] + rng.normal(0, 0.01, true["vertices"].shape),
                "joints": true["joints"] + rng.normal(0, 0.01, (24, 3)),
                "vertex_uncertainties": rng.uniform(0.5, 2, len(true["vertices"])),
                "joint_uncertainties": rng.uniform(0.5, 2, 24),
            }
        else:
            out[name] = {
                "pose": true["pose"] + rng.normal(0, 0.1, (24, 3)),
                "betas": true["betas"] + rng.normal(0, 1, 10),
                "trans": true["trans"] + rng.normal(0, 0.02, 3),
            }
    return out


def write_predictions(path, poses, protocol):
    """Writes an npz in the order of the labels: PosePile's, or parameters."""
    pairs = pairs_of(poses)
    rows = [value for _, value in pairs]
    names = {"image_path": np.array([key for key, _ in pairs], str)}
    used = rows[0] if rows else ("vertices", "joints", "pose", "betas", "trans")
    np.savez(path, **names, **{key: np.array([row[key] for row in rows]) for key in used})


def draw(model, vertices):
    """Returns the silhouette of a body as the data's camera sees it."""
    return bodies.silhouette(vertices, model["f"], FOCAL, CENTRE, SIZE)


def same_size(points, like):
    """Returns points scaled and shifted to the spread and the mean of others."""
    a, b = points - points.mean(axis=0), like - like.mean(axis=0)
    return a * np.sqrt((b**2).sum() / (a**2).sum()) + like.mean(axis=0)


def crop(mask, centre, side):
    """Returns the 256 x 256 crop of the enlarged box; the centre is row, column."""
    scale = CROP / (ENLARGED * side)
    row, column = centre
    matrix = np.array([[scale, 0, 128 - scale * column], [0, scale, 128 - scale * row]])
    image = cv2.warpAffine(mask.astype(np.uint8), matrix, (CROP, CROP), flags=cv2.INTER_NEAREST)
    return image > 0


def fit_neutral(root, rows):
    """Returns the betas of neutral bodies fitted to predicted vertices and joints, ``[n, 10]``."""
    from smplfitter.np import BodyFitter, BodyModel

    model = BodyModel("smpl", "neutral", model_root=str(find_body_models(root) / "smpl"))

    def weights(key):
        w = np.array([row[key] for row in rows]) ** -1.5
        return w / w.mean(axis=-1, keepdims=True)

    for tries_left in reversed(range(6)):
        try:
            fitted = BodyFitter(model).fit(
                np.array([row["vertices"] for row in rows]),
                np.array([row["joints"] for row in rows]),
                weights("vertex_uncertainties"), weights("joint_uncertainties"), num_iter=3,
                beta_regularizer=1, final_adjust_rots=True,
                requested_keys=("shape_betas", "vertices"),
            )  # fmt: skip
            return fitted["shape_betas"][:, :10]
        except np.linalg.LinAlgError:  # now and then on a busy machine, of bodies it fits
            if not tries_left:
                raise


def scores(truth, poses, protocol):
    """Returns the figures of a protocol.

    Args:
        truth: From :func:`truth`.
        poses: By file name ``betas [10]``, ``pose [24, 3]`` and ``trans [3]``, metres; of
            ``ssp3d.posepile`` what its npz holds.
        protocol: Name of the protocol.
    """
    shape, moved, ious, surface, pixels, hits, wrong = [], [], [], [], [], 0, 0
    fitted = None
    if protocol == "ssp3d.posepile":
        root = next(iter(truth.values()))["root"]
        fitted = fit_neutral(root, [poses[name] for name in truth])
    for i, (name, true) in enumerate(truth.items()):
        model, guess = true["model"], poses[name]
        if protocol == "ssp3d.posepile":
            vertices, joints = np.asarray(guess["vertices"], float), np.asarray(guess["joints"])
            betas = fitted[i]
        else:
            pose, betas = np.reshape(guess["pose"], (24, 3)), guess["betas"]
            vertices, joints = bodies.pose_body(model, pose, betas, guess["trans"])
        rest, _ = bodies.pose_body(model, np.zeros((24, 3)), betas)
        shape.append(mean(1000 * distances(same_size(rest, true["rest"]), true["rest"])))
        shifted = rest - rest.mean(axis=0) + true["rest"].mean(axis=0)
        moved.append(mean(1000 * distances(shifted, true["rest"])))
        seen = draw(model, vertices)
        if protocol == "ssp3d.posepile":
            expected = bodies.silhouette(true["vertices"], true["faces"], FOCAL, CENTRE, SIZE)
            near = vertices - joints[0] - (true["vertices"] - true["joints"][0])
            surface.append(mean(1000 * distances(near, 0 * near)))
        elif protocol == "ssp3d.hierprob":
            seen = crop(seen, true["centre"], true["side"])
            expected = crop(true["mask"], true["centre"], true["side"])
            aligned = procrustes(vertices, true["vertices"])
            surface.append(mean(1000 * distances(aligned, true["vertices"])))
            points = np.array([joints[j] if j > 0 else vertices[-j] for j in COCO])
            points = FOCAL * points[:, :2] / points[:, 2:] + CENTRE
            scale = CROP / (ENLARGED * true["side"])
            pixels.append(mean(scale * distances(points, true["joints2D"])))
        else:
            expected = true["mask"]
        hits += int((seen & expected).sum())
        wrong += int((seen ^ expected).sum())
        ious.append((seen & expected).sum() / (seen | expected).sum())
    if protocol == "ssp3d.official":
        return {"PVE-T-SC_mm": mean(shape), "mIOU": mean(ious)}
    if protocol == "ssp3d.hierprob":
        iou = hits / (hits + wrong)
        figures = {"PVE-T-SC_mm": mean(shape), "IOU": iou, "PVE-PA_mm": mean(surface)}
        return figures | {"joints2D_px": mean(pixels)}
    figures = {"mIOU": mean(ious), "PVE-T-SC_mm": mean(shape), "PVE-T_mm": mean(moved)}
    return figures | {"MVE_mm": mean(surface)}
