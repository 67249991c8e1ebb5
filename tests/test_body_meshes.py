"""Published meshes against parameters: what is off is measured, and the reason is named."""

import numpy as np
import pytest

from posepile.bodies.meshes import mesh_error
from posepile.bodies.models import body_forward
from posepile.bodies.parameters import body_parameters, load_hands
from posepile.errors import CorruptInput
from posepile.formats.mesh_files import read_obj_vertices
from posepile.miniature.bodies import write_body_models

HINT = "set dataset.gender"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("body_models")
    write_body_models(root, ("smplx",))
    return root


def make_body(gender="male", scale=0.8):
    rng = np.random.default_rng(3)
    pose, trans = rng.normal(0, 0.2, 165), rng.normal(0, 0.5, 3)
    return body_parameters(
        "a.npz", type="smplx", gender=gender, pose=pose, shape=rng.normal(0, 1, 10), trans=trans,
        expression=rng.normal(0, 1, 5), scale=scale, hands="whole",
    )  # fmt: skip


def write_obj(path, vertices):
    lines = ["# by hand", *(f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices), "f 1 2 3"]
    path.write_text("\n".join(lines))
    return path


def write_mesh(path, body, models):
    forward = body_forward("smplx", body["gender"], body, models_root=models)
    return write_obj(path, forward["vertices"][0])


def test_the_mesh_of_the_parameters_passes(models, tmp_path):
    body = make_body()
    path = write_mesh(tmp_path / "a.obj", body, models)
    assert mesh_error(path, body, 0.1, models_root=models) < 0.01
    write_obj(path, read_obj_vertices(path) + np.array([0, 0.003, 0.004]))
    assert abs(mesh_error(path, body, 10, models_root=models) - 5) < 0.01


def with_hands(body, change):
    pose = body["pose"].copy()
    pose[75:] += change
    return {**body, "pose": pose}


def mean_of(models, gender):
    return load_hands(models / "smplx" / f"SMPLX_{gender.upper()}.npz").mean.ravel()


@pytest.mark.parametrize("added", [True, False])
def test_what_fits_is_named(models, tmp_path, added):
    body = make_body()
    mean = mean_of(models, "male")

    def expect(truth, message):
        path = write_mesh(tmp_path / "a.obj", truth, models)
        with pytest.raises(CorruptInput, match=message) as e:
            mesh_error(path, body, 1, hands_added=added, models_root=models, hint=HINT)
        assert str(path) in str(e.value) and "expected at most 1;" in str(e.value)
        assert HINT in str(e.value) and "\n" not in str(e.value)

    fits = r"off \(mean .*it agrees to 0\.0\d mm with "
    # Whoever adds the mean hand takes it from the model of the gender that is assumed.
    other = with_hands(body, (mean_of(models, "female") - mean) * added)
    expect({**other, "gender": "female"}, fits + "the female model")
    expect({**body, "scale": 1.0}, fits + "the scale not applied")
    done = "not added" if added else "added"
    expect(with_hands(body, -mean if added else mean), fits + f"the mean hand {done}")
    expect({**body, "trans": body["trans"] + 1}, "neither another gender, nor the scale")


def test_meshes_of_other_models_are_refused(models, tmp_path):
    body = make_body()
    path = write_mesh(tmp_path / "a.obj", body, models)
    write_obj(path, read_obj_vertices(path)[:-1])
    with pytest.raises(CorruptInput, match=r"a\.obj: mesh of 329 .* male model has 330.*v1\.1"):
        mesh_error(path, body, 1, models_root=models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 1 2 three", r"not a mesh: .*three"),
        ("v 1 2 3\nv 1 2", "not a mesh"),
        ("v 1 2", r"vertices: found shape \(1, 2\); expected shape \(vertices, 3\)"),
        ("v 1 2 nan", r"vertices: found nan at \[0, 2\]; expected finite numbers"),
    ],
)
def test_damaged_meshes(tmp_path, text, message):
    path = tmp_path / "a.obj"
    path.write_text(text)
    with pytest.raises(CorruptInput, match=rf"a\.obj: {message}.*extract") as e:
        read_obj_vertices(path)
    assert "\n" not in str(e.value)


def test_vertices_may_have_colours(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("v 1 2 3 0.5 0.5 0.5\nvt 1 2\nvn 0 0 1\nf 1/1/1 1/1/1 1/1/1")
    assert read_obj_vertices(path).tolist() == [[1, 2, 3]]
    path.write_text("")
    assert read_obj_vertices(path).shape == (0, 3)
    path.unlink()
    with pytest.raises(CorruptInput, match=r"a\.obj: file is missing"):
        read_obj_vertices(path)
