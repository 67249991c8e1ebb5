"""What datasets are built of: nothing on stock, no dataset's name, and folders that stay small."""

import ast
import sys

import pytest
from conftest import ROOT

from posepile.ds import dataset_names

sys.path.insert(0, str(ROOT / "docs"))
from interface import ROOMS, modules, names_used, public, user_of, users

PACKAGE = ROOT / "posepile"
DATASETS = frozenset(dataset_names())

# Lines of Python in a dataset's folder, eval.py not counted. What two datasets share moves down.
LINES = {
    **{"aspset": 450, "coco": 450, "synthego": 450},
    "genebody": 800,
    **{"amarv": 1300, "egoexo4d": 1300},
    "panoptic": 305,
}
PLAIN = 300
# Where evaluations have a cap of their own.
EVALUATION_LINES = {"aspset": 150, "egoexo4d": 300}

# Public functions of the floor that fewer than two others use, and why they are there.
REASONS = {
    "predictions by image path or key: one benchmark of two; most of those to come": """
        evaluation.predictions.flatten evaluation.predictions.match evaluation.predictions.mean_by
        evaluation.predictions.read_poses evaluation.predictions.read_pred_json
        evaluation.predictions.stack_poses""",
    "predictions in a file per sequence: one benchmark of two; some of those to come": """
        evaluation.predictions.find_file evaluation.trajectories.read_trajectory
        evaluation.trajectories.resample""",
    "means over groups, a submission beside the result: one benchmark of two": """
        evaluation.results.average evaluation.results.average_by
        evaluation.results.write_result""",
    "a file format in which several datasets of the cards are published, one of them here": """
        formats.tables.paired_rows formats.tables.read_rows
        formats.text_files.read_numbers formats.text_files.read_text formats.text_files.read_xml
        miniature.writers.write_csv
        miniature.writers.write_mat
        miniature.writers.write_xml miniature.writers.xml_table""",
    "scenes of the Unreal Engine, in which several sets of the cards are rendered": """
        geometry.cameras.unreal_camera geometry.rotations.unreal_placement
        geometry.rotations.unreal_to_opencv miniature.unreal.put_into_scene
        miniature.unreal.unreal_camera""",
    "fits of body models, a file per body: most sets of the cards that have them, one here": """
        bodies.fits.moved_fit bodies.fits.read_moved_fit
        bodies.models.move_body bodies.parameters.body_parameters
        bodies.parameters.load_hands bodies.parameters.parameters_of_fit""",
    "boxes that were published beside the poses: checked, and put right with them": """
        geometry.pictures.check_in_boxes geometry.pictures.move_boxes
        shapes.multiview.joints_outside_boxes""",
    "Aria glasses: their files and lens, which other recordings with them share": """
        geometry.fitting.fit_fisheye624 geometry.fitting.matrix_before_undistortion
        geometry.fitting.undistorted_matrix geometry.pictures.check_median_projection
        geometry.static_lens.recover_lens
        geometry.static_lens.calibrated_lens
        miniature.writers.write_aria_lens miniature.writers.write_static_calibs""",
    "checks against meshes and masks, for sets without 2D labels: other studios are to come": """
        bodies.meshes.mesh_error geometry.agreement.check_parts
        shapes.multiview.joints_outside_mask""",
    "AMASS and the activities that BABEL labels in it: other renders of it are to come": """
        bodies.amass.find_amass formats.babel.load_babel formats.babel.activity_at
        formats.babel.subject_of formats.babel.assign_splits""",
    "the safe loader's inner parts, of which the datasets' own pickles are made as well": """
        formats.numpy_files.load_npy formats.pickle_machine.run formats.pickle_nodes.no_collection
        formats.pickled_arrays.array_of formats.pickled_arrays.dtype_of_code
        formats.pickled_arrays.raw_bytes formats.pickled_values.canonical_name
        formats.pickled_values.check_plain""",
    "a convention that one dataset here has: rotations, camera sizes, body parameters": """
        bodies.checks.check_up bodies.models.body_forward bodies.parameters.join_pose
        formats.arrays.stacked
        geometry.cameras.resize_intrinsics geometry.rotations.rotvec_matrix
        geometry.rotations.matrix_rotvec""",
    "for the rooms above: shapes, acquire, stages and checking": """
        formats.numpy_files.npy_size geometry.agreement.in_box
        geometry.agreement.in_silhouette geometry.agreement.ray_distance
        geometry.agreement.values_at geometry.pictures.project_frames
        geometry.rotations.check_rotation miniature.marks.is_colourful
        miniature.marks.person_color
        miniature.marks.read_frame_number miniature.marks.read_person
        miniature.truth.example_key""",
    "a shape of which one dataset is here, and its template": """
        shapes.coco_masks.decode_mask shapes.coco_masks.mask_fault
        shapes.coco.joint_coords shapes.coco.malformed_lines
        shapes.coco.read_pieces
        shapes.stills.masked_person shapes.stills.picture_units shapes.stills.unlabelled_sequence
        shapes.stills.unlabelled_units shapes.units.same_count shapes.units.unlabelled""",
    "a tree that a layout in YAML describes: a shape of which one dataset is here": """
        shapes.described.clips.load_boxes shapes.described.clips.load_camera
        shapes.described.clips.load_clip shapes.described.clips.load_joints
        shapes.described.finding.find_clips shapes.described.sequences.make_sequence
        shapes.described.units.clip_of shapes.described.units.clip_units
        shapes.described.units.require_pictures shapes.described.units.validate_once
        shapes.described.units.validated_clips shapes.described.validation.validate""",
    "a part of a miniature that is written by hand": """
        miniature.actor.pose_tree miniature.actor.rotvec miniature.kit.look_at""",
}
FEW_USERS = {f"posepile.{name}" for names in REASONS.values() for name in names.split()}

# Names of datasets that are also names of formats in which others publish.
FORMATS = {"coco"}


def functions(room):
    for module, path in modules(room).items():
        for node in public(path):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}"


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_two_users(room):
    """Dataset folders, templates, other rooms, tests of neither this room nor a dataset.

    What only other modules of the same room use is an inner part and has no users of its own.
    """
    used, own, few = users(DATASETS), ("room", room), []
    for name in functions(room):
        others = used.get(name, set()) - {own}
        if name in FEW_USERS:
            continue
        if len(others) == 1:
            ((kind, user),) = others
            few.append(f"{name} (only the {kind} {user})")
        if not others and not used_by_room(room, name):
            few.append(f"{name} (nobody: make it private or drop it)")
    assert not few, f"{len(few)} of {len(list(functions(room)))}:\n" + "\n".join(few)


def used_by_room(room, name):
    """Whether another module of the room uses a function."""
    own = name.rpartition(".")[0]
    others = (path for module, path in modules(room).items() if module != own)
    return any(name in names_used(path.read_text()) for path in others)


def test_exceptions_are_needed():
    used = users(DATASETS)
    for name in FEW_USERS:
        room = name.split(".")[1]
        assert name in set(functions(room))
        assert len(used[name] - {("room", room)}) < 2, f"{name} has users enough: drop it here"


def words_of_code(path):
    """Identifiers and parts of text in a file, docstrings and comments aside."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        texts = []
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts = [] if id(node) in docstrings else [node.value]
        elif isinstance(node, (ast.Name, ast.Attribute, ast.arg, *documented[1:], ast.alias)):
            texts = [
                getattr(node, key, None) or "" for key in ("id", "attr", "arg", "name", "asname")
            ]
        for text in texts:
            line = getattr(node, "lineno", 0)
            yield from ((word, line) for word in split_words(text))


def split_words(text):
    """Words of a text or an identifier, in lower case."""
    return "".join(c.lower() if c.isalnum() else " " for c in text).split()


@pytest.mark.parametrize("room", ROOMS)
def test_no_dataset_is_named(room):
    named = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in modules(room).values()
        for word, line in words_of_code(path)
        if word in DATASETS - FORMATS
    ]
    assert not named


def test_names_of_datasets_are_found(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('"""coco"""\nx = 1  # coco\ny = "a/COCO.json"\ndef is_coco(): "coco"\n')
    assert {line for word, line in words_of_code(path) if word == "coco"} == {3, 4}


def lines_of(name, only_eval=False):
    files = (PACKAGE / "ds" / name).rglob("*.py")
    chosen = [f for f in files if (f.name == "eval.py") == only_eval]
    return sum(len(f.read_text().splitlines()) for f in chosen)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_folders_stay_small(name):
    assert lines_of(name) <= LINES.get(name, PLAIN)


@pytest.mark.parametrize("name", sorted(EVALUATION_LINES))
def test_evaluations_stay_small(name):
    assert 0 < lines_of(name, only_eval=True) <= EVALUATION_LINES[name]
    others = [f.name for f in (PACKAGE / "ds" / name).glob("eval_*.py")]
    assert not others


def test_caps_are_of_datasets_that_exist():
    assert set(LINES) | set(EVALUATION_LINES) <= DATASETS


def test_users_are_told_apart():
    where = {
        "posepile/ds/coco/main.py": ("dataset", "coco"),
        "posepile/templates/stills/main.py": ("template", "stills"),
        "posepile/stages/boxes.py": ("room", "stages"),
        "posepile/config.py": ("room", "config"),
        "tests/test_coco.py": ("dataset", "coco"),
        "tests/aspset_kit.py": ("dataset", "aspset"),
        "tests/test_geometry_cameras.py": ("room", "geometry"),
        "tests/test_archive.py": ("test", "archive"),
    }
    assert {path: user_of(ROOT / path, DATASETS) for path in where} == where
