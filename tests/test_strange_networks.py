"""Networks of any interface end in a sentence or a detector, never in a traceback."""

import answering
import numpy as np
import pytest

from posepile.errors import CorruptInput, UsageError
from posepile.models import DetectorFile, DetectParams, load_detector
from posepile.models.decoders import FORMS
from posepile.models.onnx import by_image

SIZES = (0, 1, 2, 4, 6, 7, 20, 32, 84, 85, 112, 300)


def strange_outputs(rng) -> dict[str, np.ndarray]:
    """Returns one to six outputs of any shape, type and range."""
    outputs = {}
    for i in range(rng.choice([1, 1, 1, 2, 3, 4, 6])):
        rank = rng.integers(0, 6)
        shape = (
            [1, *rng.choice(SIZES, 5)][:rank] if rng.random() < 0.9 else rng.choice(SIZES, rank)
        )
        while np.prod(shape) > 50_000:
            shape = shape[:-1]
        scale = rng.choice([0.1, 1, 100, 1e30])
        values = np.clip(rng.normal(size=shape) * scale, -3e38, 3e38)
        if rng.random() < 0.3:
            values = np.abs(values)
        if rng.random() < 0.1:
            values = np.full(shape, rng.choice([np.nan, np.inf, 0.0]))
        kind = rng.choice(["float32", "float32", "float32", "float16", "int64", "int32"])
        if kind != "float32":
            values = np.clip(np.nan_to_num(values), -1000, 1000)
        name = rng.choice(["output", "boxes", "labels", "scores", "num_dets", "pred_boxes"])
        outputs[f"{name}{i}"] = np.asarray(values, kind)
    return outputs


@pytest.mark.parametrize("seed", range(12))
def test_any_outputs_are_understood_or_refused(seed, tmp_path):
    rng = np.random.default_rng(seed)
    picture = np.zeros((40, 60, 3), np.uint8)
    for i in range(25):
        outputs = strange_outputs(rng)
        path = answering.network(tmp_path / f"{i}.onnx", outputs)
        stated = rng.choice([None, *(form.name for form in FORMS)])
        model = DetectorFile(path=str(path), decoder=stated, person_class=rng.choice([None, 0]))
        told = {k: (a.dtype.name, a.shape) for k, a in outputs.items()}
        try:
            boxes = load_detector(DetectParams(model=model, score=0.0, nms=1.0))([picture])
        except (UsageError, CorruptInput) as e:
            assert "\n" not in str(e)
            continue
        except Exception as e:
            raise AssertionError(f"{stated} {told}") from e
        assert boxes[0].shape[1] == 5, told


def test_rows_of_all_pictures_are_given_to_their_pictures():
    rows = np.float32([[0, 1, 2], [2, 3, 4], [2, 5, 6], [7, 9, 9]])
    expected = [[[1, 2], [0, 0]], [[0, 0], [0, 0]], [[3, 4], [5, 6]]]
    np.testing.assert_array_equal(by_image(rows, 3), expected)
