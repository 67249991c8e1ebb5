"""Networks whose weights lie beside them, and networks trained further: which a result is of."""

import numpy as np
import onnx
import pytest
from networks_kit import NETWORKS
from onnx import TensorProto, helper, numpy_helper

from posepile.errors import CorruptInput, UsageError
from posepile.files import SAMPLE, WHOLE_FILE_LIMIT
from posepile.models import DetectorFile, DetectParams, SegmenterFile, SegmentParams, external
from posepile.models.identity import network_identity
from posepile.models.sessions import open_session


@pytest.fixture
def apart(tmp_path):
    """A network with its weights in a file of their own."""
    path = tmp_path / "net.onnx"
    network = onnx.load(NETWORKS / "yolov8.onnx")
    onnx.save(network, path, save_as_external_data=True, location="net.onnx.data")
    return path


def identity(path):
    return network_identity(DetectParams(model=DetectorFile(path=str(path))))


def change_weights(path, at=100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_other_weights_beside_a_network_make_it_another(apart):
    beside = apart.with_name("net.onnx.data")
    assert external.files_beside(apart) == [beside]
    before = identity(apart), external.network_sha256(apart)
    segmenter = SegmentParams(model=SegmenterFile(path=str(apart)))
    of_segmenter = network_identity(segmenter)
    change_weights(beside)
    after = identity(apart), external.network_sha256(apart)
    assert before[0] != after[0] and before[1] != after[1]
    assert network_identity(segmenter) != of_segmenter


def test_weights_that_are_missing_are_named(apart):
    apart.with_name("net.onnx.data").unlink()
    with pytest.raises(UsageError, match="net.onnx.data: No such file"):
        identity(apart)
    with pytest.raises(CorruptInput, match="its weights net.onnx.data are missing"):
        external.network_sha256(apart)
    with pytest.raises(CorruptInput, match="its weights .*net.onnx.data are missing"):
        open_session(apart, 1, "cpu")


def test_weights_in_inner_graphs_and_attributes_are_found(tmp_path):
    def tensor(name, place):
        out = numpy_helper.from_array(np.zeros(4, np.float32), name)
        out.ClearField("raw_data")
        out.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", "16")):
            entry = out.external_data.add()
            entry.key, entry.value = key, value
        return out

    constant = helper.make_node("Constant", [], ["c"], value=tensor("v", "attribute.bin"))
    inner = helper.make_graph([constant], "inner", [], [], [tensor("i", "inner.bin")])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "g", [], [], [tensor("w", "w.bin"), tensor("u", "w.bin")])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    names = sorted(other.name for other in external.files_beside(path))
    assert names == ["attribute.bin", "inner.bin", "w.bin"]


@pytest.mark.parametrize(
    "content", [b"", b"location", b"\xff" * 40 + b"location", b"\x3a\x7flocation"]
)
def test_what_is_no_network_has_nothing_beside_it(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert external.files_beside(path) == []


def test_a_network_cut_off_anywhere_is_no_fault_of_the_program(apart):
    content = apart.read_bytes()
    for n in range(0, len(content), 97):
        apart.write_bytes(content[:n])
        external.files_beside(apart)


def test_a_few_changed_weights_of_a_large_network_make_it_another(tmp_path):
    """Three places once stood for the whole file, so a head that was trained further did not."""
    path = tmp_path / "large.onnx"
    path.write_bytes(bytes(WHOLE_FILE_LIMIT + 2 * SAMPLE))
    before = identity(path)
    change_weights(path, at=3 * SAMPLE)
    assert identity(path) != before
