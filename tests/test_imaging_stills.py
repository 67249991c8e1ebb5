"""Pictures that are no files of their own."""

import dataclasses

import cv2
import numpy as np
import pytest

from posepile.errors import CorruptInput
from posepile.imaging.frames import open_frames
from posepile.recipe import Stills


def test_stills_that_lie_in_one_file_with_red_and_blue_exchanged(tmp_path):
    red = np.full((48, 64, 3), (250, 20, 40), np.uint8)
    data = [cv2.imencode(kind, red)[1].tobytes() for kind in (".png", ".jpg")]  # taken for BGR
    path, spans = tmp_path / "many.bin", ((7, len(data[0])), (9 + len(data[0]), len(data[1])))
    path.write_bytes(b"-" * 7 + b"--".join(data))
    source = Stills((path, path), ((64, 48),) * 2, spans=spans, bgr=True)
    with open_frames(source) as reader:
        assert reader.size(1) == (64, 48)
        got = [frame.rgb() for _, frame in reader.read([0, 1])]
    np.testing.assert_array_equal(got[0], red)
    assert np.abs(got[1].astype(int) - red).max() < 12
    with open_frames(dataclasses.replace(source, bgr=False)) as reader:
        np.testing.assert_array_equal(next(reader.read([0]))[1].rgb(), red[..., ::-1])
    short = dataclasses.replace(source, spans=(spans[0], (spans[1][0], 30)))
    with open_frames(short) as reader, pytest.raises(CorruptInput, match=r"many\.bin, frame 1"):
        next(reader.read([1]))
