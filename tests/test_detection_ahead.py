"""Detection reads and prepares pictures in a thread: order, errors, ends, equal results."""

import itertools
import shutil
import sys
import threading
import types

import av
import fake_dataset
import numpy as np
import pytest
import tiny_networks
from fake_dataset import WholePictures, a_run, load_unit, part_of, process_and_pack, states

import posepile.models
from posepile.errors import CorruptInput, UsageError
from posepile.models import DetectorFile, DetectParams, load_detector, onnx, sessions
from posepile.recipe import Video
from posepile.run import commands
from posepile.shortage import shortage_behind
from posepile.stages import ahead as module
from posepile.stages import detect
from posepile.stages.ahead import ahead

fake = fake_dataset.fake  # the fixture


def counted(n, reached, closed):
    try:
        for i in range(n):
            reached.append(i)
            yield i
    finally:
        closed.append(threading.current_thread())


def test_items_come_in_order_from_another_thread_that_is_never_far_ahead():
    reached, closed = [], []
    for i in ahead(counted(50, reached, closed), 3):
        assert len(reached) <= i + 1 + 3 + 1  # in hand, waiting, being made
    assert reached == list(range(50))
    assert closed[0] is not threading.current_thread() and not closed[0].is_alive()


def test_an_error_is_raised_in_its_place():
    def faulty():
        yield 1
        yield 2
        raise CorruptInput("a.mp4", "cannot be decoded", frame=2)

    seen = []
    with pytest.raises(CorruptInput, match=r"a\.mp4, frame 2"):
        for i in ahead(faulty(), 9):
            seen.append(i)
    assert seen == [1, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, ValueError])
def test_who_leaves_early_ends_the_thread(error):
    reached, closed = [], []
    items = ahead(counted(10**9, reached, closed), 2)
    next(items)
    with pytest.raises(error):
        items.throw(error)  # as if it came while the caller waits or works
    assert len(reached) < 6
    assert not closed[0].is_alive()


def test_want_of_memory_for_the_thread_is_said(monkeypatch):
    def refuse(count):
        raise MemoryError("Unable to allocate the stacks of threads")

    monkeypatch.setattr(module, "require_memory_for_threads", refuse)
    with pytest.raises(MemoryError, match="stacks of threads"):
        next(ahead(iter([1]), 2))


def test_want_of_threads_is_a_shortage_of_the_machine(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr("posepile.shortage.start_new_thread", lambda *_: refuse(None))
    with pytest.raises(RuntimeError) as e:
        next(ahead(iter([1]), 2))
    assert "no thread or process could be started" in shortage_behind(e.value)


def test_a_thread_that_ends_without_a_word_is_not_waited_for(monkeypatch):
    """A new thread that gets no memory for its first frame dies before its first line."""

    class StillBorn(threading.Thread):
        def run(self):
            pass

    monkeypatch.setattr(module.threading, "Thread", StillBorn)
    with pytest.raises(MemoryError, match="ended without a word"):
        next(ahead(iter([1]), 2))


# ---------------------------------------------------------------- in the stages


class Reader(WholePictures):
    """Finds everything, and notes in which thread it is shown what."""

    label = "reader"

    def __init__(self, batch=1):
        self.batch = batch
        self.prepared_in, self.sizes = set(), []

    def prepare(self, image):
        self.prepared_in.add(threading.current_thread())
        return image

    def __call__(self, images):
        assert threading.current_thread() not in self.prepared_in
        self.sizes.append(len(images))
        return [np.array([[0, 0, *im.shape[1::-1], 0.9]], np.float32) for im in images]


def options_for(fake, monkeypatch, detector):
    monkeypatch.setattr(posepile.models, "_networks", {})
    monkeypatch.setattr(posepile.models, "load_detector", lambda params: detector)
    model = fake.parent / "model.onnx"
    model.write_bytes(b"stands for weights")
    return f"detect.model={{path: '{model}', decoder: yolox}}", "box.source=detect"


@pytest.mark.parametrize("stage", ["detect", "crop"])
def test_one_broken_still_costs_itself_alone_where_people_are_detected(fake, monkeypatch, stage):
    """Its header is whole, so it shows when the picture for the detector is made."""
    detector = Reader()
    options = options_for(fake, monkeypatch, detector)
    file = fake / "fake" / "seq1" / "2.jpg"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    run = a_run(fake, *options, "detect.iou=0")
    assert states(run, (stage,))["seq1"] == {stage: "done"}
    assert sum(detector.sizes) == 11
    manifest, _ = process_and_pack(fake, *options, "detect.iou=0", "run.max_quarantined=0.2")
    assert manifest["counts"] == {"train": 7, "val": 4, "test": 0}
    (entry,) = manifest["splits"]["train"]["quarantined"]
    assert (entry["file"], entry["frame"]) == ("seq1/2.jpg", 2)
    assert entry["reason"].startswith("damaged or truncated JPEG")


def test_a_broken_video_is_one_line_and_leaves_no_thread(fake, monkeypatch):
    video = fake / "fake" / "seq1" / "v.mkv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
        container.mux(stream.encode())

    def as_video(root, unit, options):
        (sequence,) = load_unit(root, unit, options)
        if unit.id == "seq1":
            sequence.frames = Video(video)
        return [sequence]

    monkeypatch.setattr(sys.modules["posepile.ds.fake.main"], "load_unit", as_video)

    def breaks_off(path, index, wanted, threads):
        raise CorruptInput(path, "cannot be decoded", frame=wanted[0])
        yield

    monkeypatch.setattr("posepile.imaging.videos.decode", breaks_off)
    before = threading.active_count()
    options = options_for(fake, monkeypatch, Reader())
    found = fake_dataset.outcomes(a_run(fake, *options), ("detect",))
    error = found["seq1"].error
    assert (error["frame"], error["reason"]) == (0, "cannot be decoded")
    assert "trace" not in error and error["file"].endswith("v.mkv")
    assert not found["seq0"].error
    assert threading.active_count() == before


def test_batches_are_full_and_boxes_stay_with_their_frames(fake, monkeypatch):
    found = []
    monkeypatch.setattr(detect, "_AT_ONCE", 1)
    for batch in (1, 3, 8):
        detector = Reader(batch)
        run = a_run(fake, *options_for(fake, monkeypatch, detector))
        commands.process(run, ("detect",))
        full, rest = divmod(4, batch)
        assert detector.sizes == ([batch] * full + [rest] * bool(rest)) * 3
        found.append([part_of(run, "detect", f"seq{k}").read_bytes() for k in range(3)])
        shutil.rmtree(run.work)
    assert found[0] == found[1] == found[2]


def test_detections_made_on_one_machine_are_used_by_crops_on_another(fake, monkeypatch):
    """On a GPU node, over another path and with its own settings; crops are those made at once."""
    detector = Reader()
    options = [*options_for(fake, monkeypatch, detector), "detect.iou=0"]
    at_once = a_run(fake, *options)
    commands.process(at_once, ("crop",))
    expected = [part_of(at_once, "crop", f"seq{k}").read_bytes() for k in range(3)]
    shutil.rmtree(at_once.work)

    there = a_run(fake, *options, "detect.batch=3", "detect.device=auto", jobs=2)
    commands.process(there, ("detect",))
    elsewhere = fake.parent / "elsewhere"
    shutil.copytree(fake, elsewhere)  # times of files are kept, as cp -a and rsync -a do
    shutil.rmtree(fake)
    monkeypatch.setenv("DATA_ROOT", str(elsewhere))
    monkeypatch.setattr(Reader, "detect", lambda self, prepared: pytest.fail("again"))
    here = a_run(elsewhere, *options, "detect.device=cuda", jobs=1)  # which this machine lacks
    monkeypatch.setattr(posepile.models, "load_detector", lambda p: pytest.fail("no GPU"))
    commands.process(here, ("crop",))
    found = [part_of(here, "crop", f"seq{k}").read_bytes() for k in range(3)]
    assert found == expected


# ---------------------------------------------------------------- devices


class Session:
    """Stands for ONNX Runtime's, and remembers what it was given."""

    def __init__(self, path, options, providers):
        self.given = providers
        self.started = [p if isinstance(p, str) else p[0] for p in providers]

    def get_providers(self):
        return self.started


ALL = [sessions.TENSORRT, sessions.CUDA, sessions.CPU]


def with_providers(monkeypatch, available, session=Session):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


@pytest.mark.parametrize(
    ("device", "available", "order"),
    [
        ("auto", ALL, [sessions.CUDA, sessions.CPU]),
        ("auto", [sessions.CPU], [sessions.CPU]),
        ("cpu", ALL, [sessions.CPU]),
        ("cuda", ALL, [sessions.CUDA, sessions.CPU]),
        ("tensorrt", ALL, ALL),
    ],
)
def test_providers_are_tried_in_order(monkeypatch, tmp_path, device, available, order):
    with_providers(monkeypatch, available)
    session = sessions.open_session(tmp_path / "n.onnx", 1, device)
    assert session.started == order
    options = {p[0]: p[1] for p in session.given if not isinstance(p, str)}
    if sessions.CUDA in order:  # algorithms chosen by timing would differ from run to run
        assert options[sessions.CUDA]["cudnn_conv_algo_search"] == "HEURISTIC"
    if device == "tensorrt":
        assert options[sessions.TENSORRT]["trt_engine_cache_path"] == str(
            tmp_path / "n.onnx.tensorrt"
        )
        assert options[sessions.TENSORRT]["trt_fp16_enable"] is False
        half = sessions.open_session(tmp_path / "n.onnx", 1, device, half=True)
        assert half.given[0][1]["trt_fp16_enable"] is True


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_or_does_not_start_is_refused(monkeypatch, tmp_path, device):
    with_providers(monkeypatch, [sessions.CPU])
    with pytest.raises(UsageError, match=rf"device: {device}, but this ONNX Runtime has CPU"):
        sessions.open_session(tmp_path / "n.onnx", 1, device)

    def falls_back(path, options, providers):
        return types.SimpleNamespace(get_providers=lambda: [sessions.CPU])

    with_providers(monkeypatch, ALL, falls_back)
    with pytest.raises(UsageError, match=r"could not start (CUDA|TensorRT) for .*n\.onnx"):
        sessions.open_session(tmp_path / "n.onnx", 1, device)


def test_half_precision_is_refused_where_it_has_no_effect():
    with pytest.raises(ValueError, match=r"half has no effect with detect\.device = cuda"):
        DetectParams(half=True, device="cuda")
    assert DetectParams(half=True, device="tensorrt").half
    assert "half" not in DetectParams.without_effect and "device" in DetectParams.without_effect


@pytest.mark.parametrize(("on_gpu", "sizes"), [(False, {1}), (True, {4})])
def test_every_call_has_as_many_pictures(monkeypatch, tmp_path, on_gpu, sizes):
    """Sums may be in another order in a batch of another size: so there is only one."""
    path = tiny_networks.yolox(tmp_path / "n.onnx", (64, 64), batch="n")
    monkeypatch.setattr(onnx, "on_gpu", lambda session: on_gpu)
    model = DetectorFile(path=str(path), decoder="yolox", person_class=0)
    detector = load_detector(DetectParams(model=model, batch=4))
    given = []
    real = detector.network.session.run

    class Watched:
        def run(self, names, feeds):
            given.append(len(next(iter(feeds.values()))))
            return real(names, feeds)

    detector.network.session = Watched()
    images = [np.full((50, 40 + i, 3), 255, np.uint8) for i in range(6)]
    found = detector(images)
    assert set(given) == sizes
    for image, boxes in zip(images, found, strict=True):
        np.testing.assert_allclose(boxes[0, :4], [0, 0, image.shape[1], 50], atol=1)
    alone = list(itertools.chain.from_iterable(detector([image]) for image in images))
    for a, b in zip(found, alone, strict=True):
        np.testing.assert_array_equal(a, b)
