"""Stand-ins of the original package's classes, run where PosePile of today cannot be imported.

Written from what is known of its interface: the names that are in its pickles, the keys that its
readers take, and nothing else. ``python original_kit.py MODE ARGS`` prints JSON.
"""

import json
import pickle
import sqlite3
import sys
import types
from pathlib import Path

import addict
import deltacamera
import numpy as np


class Plain:
    """An object that only knows the attributes it is given."""


def install(cameras):
    """Puts empty classes under the names of the original's modules."""
    for module, names in {
        "posepile": (),
        "posepile.datasets3d": ("Pose3DDataset", "Pose3DExample", "SparseCoords"),
        "posepile.datasets2d": ("Pose2DDataset", "Pose2DExample"),
        "posepile.joint_info": ("JointInfo",),
    }.items():
        made = sys.modules[module] = types.ModuleType(module)
        for name in names:
            setattr(made, name, type(name, (Plain,), {"__module__": module}))
    sparse = sys.modules["posepile.datasets3d"].SparseCoords

    def to_array(self):
        result = np.full(self.shape, np.nan, self.valid_coords.dtype)
        result[self.i_valid_joints] = self.valid_coords
        return result

    sparse.to_array = to_array
    if cameras == "cameralib":
        package = types.ModuleType("cameralib")
        module = types.ModuleType("cameralib.cameralib")

        class Camera:
            """Attributes and projection of the library, without its lens model."""

            def world_to_image(self, points):
                seen = (points - self.t) @ self.R.T
                flat = seen[:, :2] / seen[:, 2:]
                return flat @ self.intrinsic_matrix[:2, :2].T + self.intrinsic_matrix[:2, 2]

        Camera.__module__ = "cameralib.cameralib"
        module.Camera = package.Camera = Camera
        sys.modules.update({"cameralib": package, "cameralib.cameralib": module})


def plain(value):
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.astype(object).ravel().tolist()]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("latin1")
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def load_pickle(path, cameras):
    install(cameras)
    with open(path, "rb") as f:
        dataset = pickle.load(f)
    info = dataset.joint_info
    assert type(info.ids) is addict.Addict and info.ids[info.names[1]] == 1
    assert isinstance(dataset.examples, dict) and list(dataset.examples) == [0, 1, 2]
    examples = []
    for split, own in dataset.examples.items():
        for ex in own:
            is_3d = type(ex).__name__ == "Pose3DExample"
            coords = ex.world_coords if is_3d else ex.coords
            coords = coords.to_array() if hasattr(coords, "to_array") else coords
            result = {
                "split": split,
                "type": f"{type(ex).__module__}.{type(ex).__name__}",
                "image_path": ex.image_path,
                "coords": plain(coords),
                "bbox": plain(ex.bbox),
                "mask": plain(ex.mask),
                "image": ex.image,
                "attributes": sorted(vars(ex)),
            }
            if is_3d:
                result |= {"parameters": plain(ex.parameters), "activity": ex.activity_name}
            else:
                result |= {"densepose": plain(ex.densepose)}
            if ex.camera is not None:
                result["camera"] = f"{type(ex.camera).__module__}.{type(ex.camera).__name__}"
                ex.camera.t[:] += 0  # consumers write in place
                if is_3d and coords is not None:
                    coords -= 0  # they do so here, too
                    result["pixels"] = plain(np.asarray(ex.camera.world_to_image(coords)))
            examples.append(result)
    return {
        "type": f"{type(dataset).__module__}.{type(dataset).__name__}",
        "joints": info.names,
        "edges": info.stick_figure_edges,
        "mirror": info.mirror_mapping,
        "bones": plain(getattr(dataset, "train_bones", None)),
        "examples": examples,
    }


class Barecat2024:
    """Reads as the library of 2024 does: the index has a name of its own, values are decoded."""

    def __init__(self, path):
        index = f"{path}-sqlite-index"
        if not Path(index).exists():
            raise FileNotFoundError(index)
        self.path = path
        self.db = sqlite3.connect(f"file:{index}?mode=ro", uri=True)

    def __iter__(self):
        yield from (path for (path,) in self.db.execute("SELECT path FROM files"))

    def __len__(self):
        return self.db.execute("SELECT num_files_tree FROM dirs WHERE path=''").fetchone()[0]

    def __getitem__(self, path):
        import msgpack_numpy

        found = self.db.execute(
            "SELECT shard, offset, size, crc32c FROM files WHERE path=?", (path,)
        ).fetchone()
        if found is None:
            raise KeyError(path)
        shard, offset, size, crc = found
        with open(f"{self.path}-shard-{shard:05d}", "rb") as f:
            f.seek(offset)
            data = f.read(size)
        import crc32c

        assert crc32c.crc32c(data) == crc
        if path.endswith(".msgpack"):
            return msgpack_numpy.unpackb(data)
        import cv2

        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def read_pair(annotations, images):
    import cv2
    import rlemasklib

    annotations, images = Barecat2024(annotations), Barecat2024(images)
    metadata = annotations["metadata.msgpack"]
    n_joints = len(metadata["joint_names"])
    by_split = {"train": [], "val": [], "test": []}
    for key in annotations:
        split = key.partition("/")[0]
        if split in by_split:
            by_split[split].append(key)
    examples = []
    for split, keys in by_split.items():
        for key in keys:
            d = annotations[key]
            image_path = "_".join(key.partition("/")[2].split("_")[:-1])
            assert image_path == d["impath"]
            result = {"split": split, "image_path": image_path, "image": images[image_path].shape}
            result["bbox"] = plain(d["bbox"].astype(np.float32))
            for name, n_dims in (("joints3d", 3), ("joints2d", 2)):
                if name in d and n_joints:
                    coords = np.full((n_joints, n_dims), np.nan, np.float32)
                    if len(d[name]["i_rows"]):
                        coords[d[name]["i_rows"]] = d[name]["rows"]
                    else:
                        coords = d[name]["rows"]
                    result[name] = plain(coords)
            if "cam" in d:
                camera = deltacamera.Camera(
                    rot_world_to_cam=cv2.Rodrigues(d["cam"]["rotvec_w2c"])[0],
                    optical_center=np.array(d["cam"]["loc"]),
                    intrinsic_matrix=np.concatenate([d["cam"]["intr"], [[0, 0, 1]]]),
                    distortion_coeffs=d["cam"].get("distcoef"),
                    world_up=d["cam"].get("up", (0, 0, 1)),
                )
                if "joints3d" in result:
                    result["pixels"] = plain(np.asarray(camera.world_to_image(coords)))
            if "mask" in d:
                mask = rlemasklib.decompress(d["mask"], only_gzip=True)
                result["mask"] = int(rlemasklib.decode(mask).sum())
            if "parameters" in d:
                result["pose"] = plain(np.asarray(d["parameters"]["pose"]).reshape(-1))
                result["gender"] = d["parameters"]["gender"]
            examples.append(result)
    return {"joints": metadata["joint_names"], "n": len(annotations), "examples": examples}


if __name__ == "__main__":
    try:
        import posepile.store  # noqa: F401

        raise SystemExit("the package of today can be imported here, which proves nothing")
    except ImportError:
        pass
    mode, *args = sys.argv[1:]
    print(json.dumps({"pickle": load_pickle, "pair": read_pair}[mode](*args)))
