"""What training's augmentation opens: backgrounds and occluders, by the paths it is known to use.

The reader here is written from the interface alone (which files, below which environment
variables, in which form) and imports nothing of the package. It does what training does with them.
"""

import glob
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest


def background_paths():
    folder = Path(os.environ["DATA_ROOT"], "inria_holidays")
    names = (folder / "non_person_images.txt").read_text().splitlines()
    return sorted(str(folder / "jpg_small" / name) for name in names)


def load_occluders():
    with open(Path(os.environ["CACHE_DIR"], "pascal_voc_occluders.pkl"), "rb") as f:
        return pickle.load(f)


def find_occluders():
    """What a trainer does that finds no file in its cache: looks at the official files."""
    folder = f"{os.environ['DATA_ROOT']}/pascal_voc"
    for annotation in glob.glob(f"{folder}/Annotations/*.xml"):
        text = Path(annotation).read_text()
        if "<segmented>1</segmented>" in text:
            name = text.partition("<filename>")[2].partition("</filename>")[0]
            yield f"{folder}/JPEGImages/{name}"
            yield f"{folder}/SegmentationObject/{name.replace('jpg', 'png')}"


def with_background(image, person, path, rng):
    """A background, enlarged by 1.2 to 1.5 and shifted by up to a tenth, behind a person."""
    background = cv2.imread(path)[..., ::-1]
    side = max(image.shape[:2])
    scale = side / background.shape[0] * rng.uniform(1.2, 1.5)
    angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform()) * 0.1 * side
    shift = radius * np.array([np.cos(angle), np.sin(angle)])
    offset = (np.array(image.shape[1::-1]) - scale * np.array(background.shape[1::-1])) / 2 + shift
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    behind = cv2.warpAffine(background, matrix, image.shape[1::-1])
    return np.where(person[..., None], image, behind)


def with_occluders(image, occluders, rng):
    """One to six objects, at 0.2 to 1 times the side over 256, anywhere."""
    image, side = image.copy(), min(image.shape[:2])
    for _ in range(rng.integers(1, 7)):
        thing, mask = occluders[rng.integers(len(occluders))]
        factor = rng.uniform(0.2, 1) * side / 256
        size = [max(1, round(n * factor)) for n in mask.shape[::-1]]
        thing, mask = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (thing, mask))
        x0, y0 = (rng.uniform(0, n) - m / 2 for n, m in zip(image.shape[1::-1], size, strict=True))
        for y in range(max(0, int(y0)), min(image.shape[0], int(y0) + size[1])):
            for x in range(max(0, int(x0)), min(image.shape[1], int(x0) + size[0])):
                share = mask[y - int(y0), x - int(x0)]
                blend = share * thing[y - int(y0), x - int(x0)] + (1 - share) * image[y, x]
                image[y, x] = blend.astype(np.uint8)
    return image


@pytest.fixture
def places(miniature, tmp_path, monkeypatch):
    """One DATA_ROOT with both helpers, and the cache folder that main.sh has filled."""
    for name in ("inria_holidays", "pascal_voc"):
        (tmp_path / name).symlink_to(miniature(name) / name)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("CACHE_DIR", str(miniature("pascal_voc") / "cache"))


def test_backgrounds_are_found_and_opened(places):
    paths = background_paths()
    assert len(paths) == 5 and paths == sorted(paths)
    image = np.full((128, 96, 3), 200, np.uint8)
    person = np.zeros((128, 96), bool)
    person[30:100, 30:60] = True
    for seed, path in enumerate(paths):
        assert cv2.imread(path).shape == (512, 512, 3)
        made = with_background(image, person, path, np.random.default_rng(seed))
        assert made.shape == image.shape and (made[person] == 200).all()
        # nothing is left empty, as the picture is enlarged by more than it is shifted
        assert made[~person].std() > 5 and not (made.sum(axis=2) == 0).any()


def test_occluders_are_found_and_opened(places):
    occluders = load_occluders()
    assert isinstance(occluders, list) and len(occluders) == 5
    for image, mask in occluders:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert mask.dtype == np.float32 and mask.shape == image.shape[:2]
    image = np.full((96, 96, 3), 120, np.uint8)
    changed = [
        (with_occluders(image, occluders, np.random.default_rng(seed)) != image).any(axis=2)
        for seed in range(12)
    ]
    shares = [part.mean() for part in changed]
    assert all(0 < share < 1 for share in shares) and np.mean(shares) > 0.05


def test_without_the_cache_the_official_files_are_there(places):
    files = list(find_occluders())
    assert len(files) == 4 and all(os.path.isfile(file) for file in files)
