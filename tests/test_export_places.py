"""Exports keep apart what is apart: pictures of one path, two runs at once, earlier exports."""

import archive_kit as kit
import export_kit
import pytest

from posepile.errors import WorkError
from posepile.export.coco import export_coco
from posepile.export.folders import alone, new_folder
from posepile.export.labels import export_labels
from posepile.export.original_pickle import export_pickle
from posepile.export.upstream import export_upstream
from posepile.merging.merge import merge_datasets
from posepile.store import packing, parts
from posepile.store.opening import get_dataset


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def mix_of_equal_paths(root, shift):
    """Two archives with the same image paths; their pictures are equal with shift 0."""
    for k, name in enumerate("ab"):
        path = root / f"{name}{shift}.part"
        with parts.PartWriter(path) as writer:
            for i in range(3):
                record = kit.record("toy", "train", 0, i, mask=None)
                writer.add(record, kit.jpeg(i + k * shift))
        packing.pack([path], root / f"{name}{shift}.barecat", kit.spec(), {"sources": []})
    return merge_datasets({n: get_dataset(f"{n}{shift}.barecat", None) for n in "ab"})


def without_images(export):
    return lambda dataset, out: export(dataset, out, images=False)


@pytest.mark.parametrize(
    "export",
    [export_labels, export_pickle, without_images(export_coco), without_images(export_upstream)],
)
def test_two_pictures_of_one_path_are_refused(root, export):
    mix = mix_of_equal_paths(root, 1)
    with pytest.raises(WorkError, match=r"0000.jpg: found another picture in b1.* than in a1"):
        export(mix, root / "out")
    assert not (root / "out").exists()


def test_one_picture_in_two_archives_is_taken(root):
    assert export_labels(mix_of_equal_paths(root, 0), root / "out.npz").examples == 6


def test_two_exports_to_one_place_at_once(root):
    kit.make_archive(root)
    dataset = get_dataset("toy.barecat", None)
    with new_folder(root / "out", "coco") as folder:
        (folder / "of_the_first").write_text("x")
        with pytest.raises(WorkError, match=r"another export writes .*out; wait for it"):
            export_coco(dataset, root / "out")
    for export in (export_upstream, export_pickle):
        with alone(root / "two"), pytest.raises(WorkError, match="another export writes"):
            export(dataset, root / "two")
    assert (root / "out/of_the_first").exists()


def test_archives_of_an_earlier_export_go(root):
    mix, _ = export_kit.make_mix(root)
    other = export_upstream(mix, root / "x_other.barecat").files
    first = export_upstream(mix, root / "x.barecat").files
    assert [p.name for p in first[1:3]] == ["x_2d.barecat", "x_parametric.barecat"]
    flat = get_dataset("flat.barecat", None)
    mine = export_upstream(flat, root / "x_parametric.barecat", images=False).files
    again = export_upstream(get_dataset("toy.barecat", None), root / "x.barecat").files
    left = {p.name for p in root.iterdir()}
    assert not any(name.startswith("x_2d.barecat") for name in left)
    assert all(p.exists() for p in (*other, *mine, *again))
