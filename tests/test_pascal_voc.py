"""PASCAL VOC: which objects are cut out, with which masks, in which file, and what is refused."""

import json
import pickle
import shutil

import cv2
import numpy as np
import pytest

from posepile.acquire.extract import extract_archive
from posepile.acquire.sources import load_sources
from posepile.ds import dataset_dir
from posepile.ds.pascal_voc import main
from posepile.errors import CorruptInput
from posepile.files import files_below
from posepile.formats.pickles import read_pickle
from posepile.formats.voc_files import read_voc
from posepile.imaging import jpeg
from posepile.imaging.palettes import read_indices
from posepile.miniature.truth import read_truth
from posepile.miniature.writers import write_png

FIRST, SECOND = "2007_000123", "2011_003353"


@pytest.fixture
def root(raw_miniature, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    shutil.copytree(raw_miniature("pascal_voc"), tmp_path / "pascal_voc")
    return tmp_path / "pascal_voc"


def calibrate(root, **options):
    return main.calibrate(root, main.Options(**options))


def occluders(root):
    return pickle.loads((root.parent / "cache" / "pascal_voc_occluders.pkl").read_bytes())


def record(root):
    return json.loads((root.parent / "cache" / "pascal_voc_occluders.json").read_text())


def change(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def test_the_occluders_are_those_of_the_card_in_order_of_files(miniature):
    root = miniature("pascal_voc") / "pascal_voc"
    expected, found = read_truth(root).facts["occluders"], occluders(root)
    assert len(found) == len(expected)
    for (image, mask), fact in zip(found, expected, strict=True):
        x0, y0, x1, y1 = fact["box"]
        assert mask.shape == (round((y1 - y0 + 1) / 2), round((x1 - x0 + 1) / 2))
        assert image.shape == (*mask.shape, 3) and image.dtype == np.uint8
        assert mask.dtype == np.float32 and mask.min() >= 0 and mask.max() == 1
        assert abs((mask > 0.3).sum() * 4 - fact["pixels"]) < 0.1 * fact["pixels"] + 40
        np.testing.assert_allclose(np.median(image[mask == 1], axis=0), fact["color"], atol=6)


def test_rims_are_soft_but_not_at_the_border_of_the_crop(root):
    """By plain loops over the card's words: eroded by an ellipse of 8, halved."""
    calibrate(root)
    facts = read_truth(root).facts["occluders"]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (8, 8))
    offsets = np.argwhere(kernel) - 4
    for (_, mask), fact in zip(occluders(root), facts, strict=True):
        x0, y0, x1, y1 = fact["box"]
        labels = read_indices(root / "SegmentationObject" / f"{fact['picture']}.png")
        whole = labels[y0 - 1 : y1, x0 - 1 : x1] == fact["number"]
        soft = np.zeros(whole.shape, np.float32)
        for y, x in np.argwhere(whole):
            near = offsets + np.array([y, x])
            inside = ((near >= 0) & (near < whole.shape)).all(axis=1)
            soft[y, x] = 1 if whole[tuple(near[inside].T)].all() else 0.75
        size = (mask.shape[1], mask.shape[0])
        half = cv2.resize(soft, size, interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(mask, half, atol=1e-6)
    sofa = occluders(root)[2][1]  # at the left and lower border of the photograph
    assert sofa[-1, 0] == 1 and sofa[1, 50] < 0.8


def test_what_is_left_out_is_counted(root):
    lines = calibrate(root)
    assert lines[0].startswith("5 occluders of 2 segmented pictures: ")
    found = record(root)
    assert found["left_out"] == {
        "person": 2,
        "difficult": 1,
        "truncated": 1,
        "fewer pixels than dataset.min_pixels": 1,
    }
    assert found["of_class"] == dict.fromkeys(
        ["cat", "bottle", "sofa", "tvmonitor", "pottedplant"], 1
    )
    assert calibrate(root, min_pixels=499)[0].startswith("6 occluders")


def test_no_pixel_of_a_person_is_an_occluder(root):
    calibrate(root)
    for xml in files_below(root / "Annotations", "*.xml"):
        annotation = read_voc(xml)
        people = [k for k, one in enumerate(annotation.objects, 1) if one.name == "person"]
        if annotation.segmented:
            labels = read_indices(root / "SegmentationObject" / f"{xml.stem}.png")
            assert np.isin(labels, people).any()
    expected = read_truth(root).facts["occluders"]
    assert not [fact for fact in expected if fact["picture"] == FIRST and fact["number"] == 1]


def test_the_file_is_plain_data_that_older_versions_of_numpy_load(root):
    calibrate(root)
    path = root.parent / "cache" / "pascal_voc_occluders.pkl"
    data = path.read_bytes()
    assert b"numpy._core" not in data and b"cnumpy.core.multiarray\n_reconstruct" in data
    read = read_pickle(path, [(None)])
    assert len(read) == 5 and all(type(pair) is tuple and len(pair) == 2 for pair in read)


def test_it_is_made_again_only_where_something_changed(root):
    calibrate(root)
    file = root.parent / "cache" / "pascal_voc_occluders.pkl"
    first, time = file.read_bytes(), file.stat().st_mtime_ns
    calibrate(root)
    assert file.stat().st_mtime_ns == time
    file.write_bytes(b"in another order, by somebody else")
    calibrate(root)
    assert file.read_bytes() == first
    change(root / "Annotations" / f"{FIRST}.xml", ("<name>bottle", "<name>person"))
    calibrate(root)
    assert len(occluders(root)) == 4
    file.unlink()
    calibrate(root)
    assert len(occluders(root)) == 4


def test_a_missing_file_is_named_by_the_run_and_by_doctor(root):
    assert not main.doctor(root, main.Options())
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationObject", "png")):
        (root / folder / f"{FIRST}.{suffix}").rename(root / f"aside.{suffix}")
    lines = main.doctor(root, main.Options())
    assert len(lines) == 2 and all("file is missing" in line for line in lines)
    with pytest.raises(CorruptInput, match=f"JPEGImages/{FIRST}.jpg: file is missing, as are 1"):
        calibrate(root)


def damage_xml(root):
    (root / "Annotations" / f"{FIRST}.xml").write_text("<annotation>")


def damage_picture(root):
    path = root / "JPEGImages" / f"{FIRST}.jpg"
    path.write_bytes(path.read_bytes()[:3000])


def damage_labels(root):
    path = root / "SegmentationObject" / f"{FIRST}.png"
    path.write_bytes(path.read_bytes()[:200])


def colour_labels(root):
    path = root / "SegmentationObject" / f"{FIRST}.png"
    path.write_bytes(cv2.imencode(".png", cv2.imread(str(path)))[1].tobytes())


def smaller_picture(root):
    path = root / "JPEGImages" / f"{FIRST}.jpg"
    path.write_bytes(jpeg.encode(jpeg.decode(path.read_bytes())[:-2]))


def relabel(root, labels):
    write_png(root / "SegmentationObject" / f"{FIRST}.png", labels, np.zeros((256, 3), np.uint8))


def one_more_object(root):
    labels = read_indices(root / "SegmentationObject" / f"{FIRST}.png")
    labels[:5, :5] = 7
    relabel(root, labels)


def another_order(root):
    labels = read_indices(root / "SegmentationObject" / f"{FIRST}.png")
    relabel(root, np.choose(np.minimum(labels, 7), [0, 1, 2, 3, 4, 6, 5, 0]).astype(np.uint8))


def wrong_flag(root):
    change(root / "Annotations" / f"{FIRST}.xml", ("<difficult>0", "<difficult>yes"))


def box_from_nowhere(root):
    change(root / "Annotations" / f"{FIRST}.xml", ("<xmin>", "<xmin>-"))


def unsegmented(root):
    change(root / "Annotations" / f"{FIRST}.xml", ("<segmented>1", "<segmented>0"))


def no_annotation(root):
    (root / "Annotations" / f"{FIRST}.xml").rename(root / "Annotations" / f"{FIRST}.XML")


def other_class(root):
    change(root / "Annotations" / f"{FIRST}.xml", ("<name>person</name>", "<name>Person</name>"))


def path_for_a_name(root):
    change(root / "Annotations" / f"{FIRST}.xml", ("<filename>", "<filename>../"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (damage_xml, "not valid XML"),
        (damage_picture, "damaged or truncated JPEG"),
        (damage_labels, "not a readable picture"),
        (colour_labels, "8 bits and colours of type 2; expected a PNG of 8 bits with a palette"),
        (smaller_picture, "found 500x375 pixels; expected 500x373"),
        (one_more_object, "found object number 7; expected at most 6"),
        (another_order, "is it another one's number"),
        (wrong_flag, "object 1: difficult: found 'yes'; expected 0 or 1"),
        (box_from_nowhere, "object 1: bndbox: found"),
        (path_for_a_name, "filename: found '../2007_000123.jpg'"),
        (unsegmented, "no annotation in Annotations is of it, and says that it is segmented"),
        (no_annotation, "no annotation in Annotations is of it, and says that it is segmented"),
        (other_class, "object 1: found class 'Person'; expected one of the 20: aeroplane, "),
    ],
)
def test_a_damaged_picture_costs_itself_and_is_counted(root, fault, said):
    fault(root)
    *_, line = calibrate(root, max_damaged=0.5)
    assert line.startswith(f"left out: {FIRST}.") and said in line
    assert len(occluders(root)) == 3 and len(record(root)["damaged"]) == 1
    with pytest.raises(
        CorruptInput, match="2 segmented pictures, 1 of them damaged; .* at most 5%"
    ):
        calibrate(root)


def test_no_occluder_at_all_is_an_error(root):
    with pytest.raises(CorruptInput, match=r"objects, all of them left out \("):
        calibrate(root, min_pixels=10**9)


def test_objects_are_looked_for_in_their_boxes_and_parts_are_no_objects(root):
    annotation = read_voc(root / "Annotations" / f"{FIRST}.xml")
    assert [one.name for one in annotation.objects][:2] == ["person", "chair"]
    assert len(annotation.objects) == 6
    fractions = read_voc(root / "Annotations" / f"{SECOND}.xml").objects[3].box
    assert all(isinstance(n, int) for n in fractions)


def test_palette_or_grey_gives_the_numbers(tmp_path, capfd):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "palette.png", labels, np.zeros((256, 3), np.uint8))
    (tmp_path / "grey.png").write_bytes(cv2.imencode(".png", labels)[1].tobytes())
    for name in ("palette.png", "grey.png"):
        np.testing.assert_array_equal(read_indices(tmp_path / name), labels)
    assert not capfd.readouterr().err, "what libpng says of palettes in grey pictures"
    (tmp_path / "deep.png").write_bytes(
        cv2.imencode(".png", labels.astype(np.uint16))[1].tobytes()
    )
    with pytest.raises(CorruptInput, match="found 16 bits"):
        read_indices(tmp_path / "deep.png")


def test_the_official_archive_is_extracted_without_its_folders(root, tmp_path):
    inside = tmp_path / "tar" / "VOCdevkit" / "VOC2012"
    shutil.copytree(root, inside)
    (inside / "SegmentationClass").mkdir()
    (inside / "SegmentationClass" / "a.png").write_bytes(b"x")
    archive = shutil.make_archive(str(tmp_path / "voc"), "tar", tmp_path / "tar")
    (source,) = load_sources(dataset_dir("pascal_voc") / "sources.yaml").sources
    to = tmp_path / "to"
    to.mkdir()
    extract_archive(tmp_path / archive, to, source.extract)
    found = {p.relative_to(to).as_posix() for p in to.rglob("*.*") if ".posepile" not in p.parts}
    assert found == {p.relative_to(root).as_posix() for p in root.rglob("*.*") if p.parent != root}
