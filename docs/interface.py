"""Who uses which function of the floor: read from the imports of all files, nothing is run."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "posepile"
ROOMS = ("formats", "geometry", "bodies", "shapes", "miniature", "evaluation")
TESTS_OF = {
    "formats": ("formats", "pickle", "numpy_files", "old_pickles", "restricted", "derived"),
    "geometry": ("geometry",),
    "bodies": ("body", "bodies"),
    "shapes": ("shapes",),
    "miniature": ("miniature",),
    "evaluation": ("evaluation",),
}


def module_of(path: Path) -> str:
    """Returns the dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(room: str) -> dict[str, Path]:
    """Returns the modules of a room with their files, sorted."""
    return {module_of(path): path for path in sorted((PACKAGE / room).rglob("*.py"))}


def public(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    """Returns the public functions and classes that a file defines."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text()).body
    return [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


@functools.cache
def names_used(text: str) -> set[str]:
    """Returns the dotted names of the package that a file uses, e.g. posepile.files.write_json."""
    tree = ast.parse(text)
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("posepile"):
            bound |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("posepile"):
                    # Without `as` the name of the package is bound, its modules are attributes.
                    bound[alias.asname or "posepile"] = alias.name if alias.asname else "posepile"
    used = set(bound.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            if head in bound and rest.replace(".", "").replace("_", "").isalnum():
                used.add(f"{bound[head]}.{rest}")
    return used


def user_of(path: Path, datasets: frozenset[str]) -> tuple[str, str]:
    """Returns what a file belongs to: dataset, template, room or test, and which."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "posepile":
        if parts[1] in ("ds", "templates") and len(parts) > 3:
            return {"ds": "dataset", "templates": "template"}[parts[1]], parts[2]
        return "room", Path(parts[1]).stem
    stem = Path(parts[-1]).stem.removeprefix("test_").removesuffix("_kit")
    owner = [name for name in datasets if stem == name or stem.startswith(f"{name}_")]
    if owner:
        return "dataset", owner[0]
    room = [room for room, starts in TESTS_OF.items() if stem.startswith(starts)]
    return ("room", room[0]) if room else ("test", stem)


@functools.cache
def users(datasets: frozenset[str]) -> dict[str, set[tuple[str, str]]]:
    """Returns dotted name -> what uses it: dataset folders, templates, rooms and tests.

    Tests count for the dataset or room they are of; the fuzzer, which reads everything, does not.
    """
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    tests = [p for p in (ROOT / "tests").rglob("*.py") if p.parent.name != "fuzzing"]
    for path in (*PACKAGE.rglob("*.py"), *tests):
        for name in names_used(path.read_text()):
            found[name].add(user_of(path, datasets))
    return found


def interface(
    room: str, datasets: frozenset[str]
) -> dict[str, list[ast.FunctionDef | ast.ClassDef]]:
    """Returns module -> what of it is used outside the room, or by nobody else.

    What only other modules of the room use is an inner part of it.
    """
    used = users(datasets)
    result = {}
    for module, path in modules(room).items():
        inner = {("room", room)}
        nodes = [n for n in public(path) if used.get(f"{module}.{n.name}", set()) != inner]
        if nodes:
            result[module] = nodes
    return result


# What training code and scripts import: module -> names, in the order of the page. Each has an
# example, which tests/test_docs_python.py runs. (Bodies need licensed files: docs/BODIES.md.)
USED = {
    "posepile.datasets3d": ("get_dataset", "get_joint_info", "Pose3DDataset", "Pose3DExample"),
    "posepile.datasets2d": ("get_dataset", "get_joint_info", "Pose2DDataset", "Pose2DExample"),
    "posepile": ("load",),
    "posepile.joint_info": ("JointInfo",),
    "posepile.store.example_list": ("ExampleList",),
    "posepile.merging.merge": ("merge_datasets",),
    "posepile.merging.filters": ("Filters", "keep"),
    "posepile.merging.groups": (
        "views_of_instants",
        "people_of_pictures",
        "clips",
        "GroupBatches",
    ),
    "posepile.merging.subset": ("choose", "write_subset"),
    "posepile.merging.duplicates": ("find", "held_out"),
    "posepile.merging.hygiene": ("find_leaks",),
    "posepile.skeletons.mapping": ("to_convention", "JointMapping"),
    "posepile.augmentation": ("Augmentation", "AugmentationParams", "Backgrounds", "Occluders"),
    "posepile.torch": (
        *("CropDataset", "CropLoader", "ShardShuffleSampler", "Draw", "make_draw", "collate"),
    ),
    "posepile.export.upstream": ("export_upstream",),
    "posepile.export.original_pickle": ("export_pickle",),
    "posepile.export.folder": ("export_folder",),
    "posepile.export.coco": ("export_coco",),
    "posepile.export.webdataset": ("export_webdataset",),
    "posepile.export.humandata": ("export_humandata",),
    "posepile.export.parquet": ("export_parquet",),
    "posepile.export.labels": ("export_labels",),
    "posepile.imports.forms": ("import_dataset",),
    "posepile.metrics": (
        *("root_relative", "similarity_transform", "align", "joint_errors", "pose_errors"),
        *("mpjpe", "pa_mpjpe", "n_mpjpe", "pck", "auc", "cps", "oks", "keypoint_ap"),
        *("mpjae_deg", "mpjve", "mean_acceleration_error", "mean_jitter", "wa_errors"),
        *("rte_percent", "silhouette_ious", "joint_means", "group_means", "label_means"),
        "bootstrap_interval",
    ),
}
