"""What datasets are built of: nothing on stock, no dataset's name, and folders that stay small."""

import ast
import sys

import pytest
from conftest import ROOT

from posepile.ds import dataset_names, load_recipe

sys.path.insert(0, str(ROOT / "docs"))
from interface import ROOMS, modules, names_used, public, user_of, users

PACKAGE = ROOT / "posepile"
DATASETS = frozenset(dataset_names())

# Lines of Python in a dataset's folder, eval.py not counted. What two datasets share moves down.
LINES = {
    **{"aspset": 450, "synthego": 450},
    "genebody": 800,
    **{"amarv": 1300, "egoexo4d": 1740},
    **{"panoptic": 305, "rich": 484},
    # Two layouts of raw files, a known fault of the data, and calibrations that a person may add
    "bml_movi": 575,
    # Composites of three kinds, one of our own making, over another dataset's labels and cameras
    "muco": 795,
    # Order of joints, sides and axes are contradictory in public: the data vote on them
    "tdpeople": 430,
}
PLAIN = 300
SHORT = 200  # of those with key points in pictures alone, and of helpers
MOST_EVALUATION_LINES = 100

# Public functions of the floor that fewer than two others use, and why they are there.
REASONS = {
    "says where recipes derive; only who runs them knows": """
        formats.derived.derive_in""",
    "videos with an annotation file each: files of others in this form are to come": """
        shapes.coco_videos.ignored_regions shapes.coco_videos.check_key_points
        shapes.coco_videos.read_tracked shapes.coco_videos.tracked_pictures
        evaluation.video_people.points_of evaluation.video_people.people_by_image
        evaluation.video_people.nobody evaluation.video_people.video_people
        evaluation.video_people.labelled_people""",
    "arrays of structures in MAT files, which collapse: one dataset here has them": """
        formats.matlab_files.items_of formats.matlab_files.structs_of
        formats.matlab_files.numbers_of formats.matlab_files.rows_of
        miniature.writers.mat_structs""",
    "robots with a ring of cameras: several tasks are published on one's recordings, one here": """
        formats.robot_files.read_sensors formats.robot_files.read_track_boxes
        geometry.robots.ring_cameras shapes.label_frames.numbered_pictures
        shapes.label_frames.check_frame_offset shapes.coco_videos.check_key_points
        shapes.coco_videos.tracked_pictures""",
    "forms of predictions that one benchmark has": """
        evaluation.forms.files_of_clips evaluation.forms.read_npz_poses
        evaluation.predictions.flatten evaluation.predictions.read_pred_json
        evaluation.forms.check_pred
        evaluation.trajectories.read_trajectory""",
    "what a benchmark does beside its figures (a submission), and docs and tests with all": """
        evaluation.checked.clip_arrays evaluation.command.benchmark_parser
        evaluation.command.exit_code evaluation.results.write_result
        evaluation.scoring.definition""",
    "a file format in which several datasets of the cards are published, one of them here": """
        formats.tables.paired_rows formats.tables.read_rows
        formats.text_files.read_xml
        formats.tfrecords.read_span
        miniature.writers.xml_table""",
    "benchmarks of one maker of markerless capture: labels, calibrations, crowds, MAT files": """
        evaluation.crowds.crowd_errors evaluation.crowds.mat_crowds evaluation.crowds.match_crowd
        evaluation.crowds.npz_crowds evaluation.crowds.with_bones_of
        evaluation.mat_forms.mat_poses
        geometry.fitting.fit_pinhole geometry.markerless.check_universal
        geometry.markerless.read_studio
        geometry.markerless.read_valid
        miniature.rig.sensor_camera""",
    "helpers: backgrounds and occluders; other sets of such files are known, one of each here": """
        formats.derived.make_once formats.detection_files.read_detections
        imaging.cutouts.cut_out
        models.in_pictures.detect_in_pictures models.params.detects_only
        shapes.squares.make_squares shapes.squares.square_fault
        shapes.voc.cut_objects shapes.voc.folder_faults""",
    "files of sensors and networks that several sets of the cards are published in: one here": """
        formats.kinect_files.lens_points formats.kinect_files.read_kinect_bodies
        formats.lcrnet_files.read_found_people shapes.matching.wider_than_others
        geometry.azure_kinect.color_camera
        miniature.azure_kinect.write_kinects
        geometry.fitting.fit_beside geometry.relative.place_poses geometry.relative.tell_axes
        miniature.kinect.make_kinect miniature.kinect.write_kinect_bodies
        miniature.lcrnet.find_person miniature.lcrnet.in_older_axes
        miniature.lcrnet.write_found_people""",
    "scenes of the Unreal Engine, in which several sets of the cards are rendered": """
        geometry.cameras.unreal_camera geometry.rotations.unreal_placement
        geometry.rotations.unreal_to_opencv miniature.unreal.put_into_scene
        miniature.unreal.unreal_camera""",
    "fits of body models, a file per body: most sets of the cards that have them, one here": """
        bodies.fits.moved_fit bodies.fits.read_moved_fit shapes.units.readable""",
    "boxes that were published beside the poses: checked, and put right with them": """
        geometry.pictures.check_in_boxes geometry.pictures.move_boxes
        shapes.multiview.joints_outside_boxes""",
    "Aria glasses: their files and lens, which other recordings with them share": """
        geometry.fitting.fit_fisheye624 geometry.fitting.matrix_before_undistortion
        geometry.fitting.undistorted_matrix
        geometry.static_lens.recover_lens
        geometry.static_lens.calibrated_lens
        miniature.writers.write_aria_lens miniature.writers.write_static_calibs""",
    "checks against meshes and masks, for sets without 2D labels: other studios are to come": """
        geometry.agreement.check_parts shapes.silhouettes.joints_outside_masks
        imaging.amodal.check_amodal imaging.amodal.compare_amodal""",
    "AMASS and the activities that BABEL labels in it: other renders of it are to come": """
        bodies.amass.find_amass formats.babel.load_babel formats.babel.activity_at
        formats.babel.subject_of formats.babel.assign_splits""",
    "the safe loader's inner parts, of which the datasets' own pickles are made as well": """
        formats.pickle_machine.run formats.pickle_nodes.no_collection
        formats.pickled_arrays.array_of formats.pickled_arrays.dtype_of_code
        formats.pickled_arrays.raw_bytes formats.pickled_values.canonical_name
        formats.pickled_values.check_plain""",
    "predictions as arguments of the smplx library: of one benchmark, others are to come": """
        evaluation.library_bodies.library_body""",
    "a folder in which every file is a recording, as of TFRecords: one dataset here": """
        formats.folders.sort_out""",
    "a convention that one dataset here has: rotations, camera sizes, body parameters": """
        geometry.agreement.find_shift geometry.cameras.resize_intrinsics
        geometry.numbering.tell_cameras
        shapes.units.check_there
        geometry.rotations.median_direction geometry.rotations.nearest_axis
        geometry.rotations.turn_degrees formats.tables.rows_by""",
    "people's own recordings in the forms of several programs: posepile new --like videos": """
        formats.colmap_files.read_colmap_cameras formats.colmap_files.read_colmap_images
        formats.opencv_files.read_opencv_storage
        shapes.recordings.unit_in_mm shapes.recordings_check.fitting_facts
        miniature.recordings.write_calibration""",
    "for the rooms above: shapes, acquire, stages and checking": """
        formats.numpy_files.npy_size
        geometry.agreement.better_shift geometry.agreement.in_box
        geometry.agreement.in_silhouette geometry.agreement.ray_distance
        miniature.marks.is_colourful
        miniature.marks.person_color
        miniature.marks.read_frame_number miniature.marks.read_person
        miniature.truth.example_key""",
    "a shape of which one dataset is here, and its template": """
        shapes.coco_masks.mask_fault
        shapes.stills.masked_person shapes.stills.without_poor_masks""",
    "parts of the shape of files like COCO's: for recipes that the whole does not fit": """
        shapes.coco.coco_pictures shapes.coco.coco_sequence shapes.coco.coco_units
        shapes.coco_files.malformed_lines shapes.coco_files.read_pictures
        shapes.coco_people.known_id shapes.coco_places.check_joints
        shapes.coco_videos.frame_fault
        shapes.coco_people.why_unusable
        shapes.coco_places.note_share shapes.coco_places.people_of
        shapes.thinning.moved shapes.thinning.thin_out""",
    "a tree that a layout in YAML describes: a shape of which one dataset is here": """
        shapes.described.clips.load_boxes shapes.described.clips.load_camera
        shapes.described.clips.load_clip shapes.described.clips.load_joints
        shapes.described.finding.find_clips shapes.described.sequences.make_sequence
        shapes.described.units.clip_of shapes.described.units.clip_units
        shapes.described.units.require_pictures shapes.described.units.validate_once
        shapes.described.units.validated_clips shapes.described.validation.validate""",
    "evaluations of people who wear sensors: pickles of predictions, motion in the world": """
        bodies.checks.check_model_joints
        evaluation.bodies.in_batches evaluation.bodies.world_figures evaluation.meshes.moved
        evaluation.pickled.frame_pickles evaluation.pickled.pickle_of_clips
        evaluation.pickled.track_clip evaluation.pickled.track_pickles""",
    "bodies whose shape and silhouette are compared: one benchmark of those here": """
        evaluation.body_shape.bodies_by_gender evaluation.body_shape.crop_figures
        evaluation.body_shape.drawing evaluation.body_shape.fit_figures
        evaluation.body_shape.refuse_far evaluation.body_shape.rest_figures
        evaluation.body_shape.with_pooled_iou""",
    "meshes of SMPL-X in evaluations: a mesh of SMPL made of it, hands and face by themselves": """
        evaluation.forms.read_pred_pickle
        evaluation.meshes.model_file evaluation.meshes.part_errors
        evaluation.meshes.read_regressor evaluation.meshes.smpl_of_fits
        evaluation.meshes.smpl_of_smplx evaluation.meshes.smplx_parts""",
    "markers and key points that only one of the many studios here tells in such a way": """
        formats.arrays.at_rows geometry.agreement.check_same_points
        formats.folders.check_start geometry.markerless.check_other_views
        geometry.markerless.check_rig geometry.markerless.check_views shapes.units.usable_only
        geometry.bones.joints_of_odd_bones geometry.bones.without_strays
        geometry.markerless.read_studio geometry.rigs.check_place geometry.rigs.check_ring
        imaging.resampled.shown_frames shapes.units.read_row_numbers""",
    "what examples in docstrings draw, each in a folder of its own": """
        miniature.recordings.recorded_example""",
    "bodies that become those of another model: parts of it, which tests look at": """
        bodies.conversion.copied_pose bodies.conversion.read_transfer""",
    "storage files of OpenCV, lists of objects in JSON: of one dataset, but common forms": """
        formats.name_lists.read_counted_names formats.folders.folders_holding
        formats.opencv_files.read_opencv_yaml formats.tables.iter_json_pairs
        formats.loose_json.read_loose_json
        miniature.opencv_files.write_netpbm miniature.opencv_files.write_opencv_yaml
        miniature.robot_ring.write_ring miniature.writers.mat_structs""",
    "people fitted before several cameras or to scans: other studios are to come": """
        bodies.surface.smplx_output_joints geometry.fitting.fit_focal
        geometry.focals.fit_focals
        formats.opencv_files.read_opencv_xml
        geometry.rotations.nearest_rotation
        miniature.bodies.make_regressor miniature.bodies.make_transfer
        miniature.writers.write_opencv_xml""",
}
FEW_USERS = {f"posepile.{name}" for names in REASONS.values() for name in names.split()}

# Names of datasets that are also names of formats, or joint sets, in which others publish.
FORMATS = {"coco", "h36m", "posetrack"}
# Names that are words as well.
WORDS = {"spec"}


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
        if word in DATASETS - FORMATS - WORDS
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
    plain = SHORT if load_recipe(name).SPEC.kind in ("2d", "helper") else PLAIN
    assert lines_of(name) <= LINES.get(name, plain)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_evaluations_stay_small(name):
    """What a benchmark has beyond that is in ``eval_*.py``, and counted as the folder's."""
    assert lines_of(name, only_eval=True) <= MOST_EVALUATION_LINES


def test_caps_are_of_datasets_that_exist():
    assert set(LINES) <= DATASETS


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
