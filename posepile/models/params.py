"""What a user can set under ``detect:`` and ``segment:``; light enough to import anywhere."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


def _name_or_file(value: Any) -> str:
    """Tells the two forms of ``model:`` apart, so that a mistake is reported for the right one."""
    return "name" if isinstance(value, str) else "file"


# Forms of detectors by name, see posepile/models/decoders; a test compares the two.
Decoder = Literal[
    "yolox",
    "yolox_decoded",
    "yolo",
    "yolo_list",
    "yolov5",
    "yolov6",
    "yolov7_list",
    "efficient_nms",
    "yolo_nas",
    "yolo_nas_list",
    "yolo_nas_raw",
    "nanodet",
    "rtdetr",
    "rtdetr_list",
    "detr",
    "rfdetr",
    "detr_softmax",
    "detr_deploy",
    "torchvision",
    "mmdet",
    "tensorflow",
]

SegmenterDecoder = Literal["matting", "sam", "instances"]

Name = Annotated[str, Field(min_length=1), Tag("name")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Side = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    # Keys that cannot change a result, only how fast it is there.
    without_effect: ClassVar[set[str]] = {"batch", "threads", "device", "cache_dir"}


class DetectorFile(_Section):
    """A user's own ONNX person detector.

    Attributes:
        path: The ONNX file.
        decoder: How its output is read, see ``posepile/models/decoders``; None: by the file and by
            what it says on a test picture.
        input_size: Height and width of the network's input; None: taken from the file.
        layout: Order of the input's dimensions; None: taken from the file.
        channels: Channel order the network wants; None: as usual for the decoder.
        scale: Multiplied onto the 0..255 pixel values; None: as usual for the decoder.
        mean: Subtracted after scaling, in the network's channel order.
        std: Divided by after that.
        resize: ``stretch``, ``letterbox`` (padded, at the top left) or ``centred`` (padded,
            in the middle); None: as usual for the decoder.
        person_class: Index of the person class in the network's output; None: by the names or the
            number of its classes.
    """

    path: str
    decoder: Decoder | None = None
    input_size: tuple[Side, Side] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["bgr", "rgb"] | None = None
    scale: Scale | None = None
    mean: tuple[Finite, Finite, Finite] | None = None
    std: tuple[Scale, Scale, Scale] | None = None
    resize: Literal["letterbox", "centred", "stretch"] | None = None
    person_class: int | None = Field(None, ge=0)


class SegmenterFile(_Section):
    """A user's own ONNX segmenter, in one file, or in two: encoder and decoder.

    What is not stated is found by the files and by what they say on a test picture.

    Attributes:
        path: The ONNX file; of two files the one that takes the picture (the encoder).
        decoder_path: The one that takes the prompts, where a promptable network is in two files.
        decoder: ``matting`` (image in, alpha, logits or class map out; also with recurrent
            inputs), ``sam`` (image and point prompts in, masks and their predicted quality out)
            or ``instances`` (boxes with classes and a mask for each).
        input_size: Height and width of the network's input; None: taken from the file.
        layout: Order of the input's dimensions.
        channels: Channel order the network wants.
        scale: Multiplied onto the 0..255 pixel values; ``max``: divide by the largest value of the
            image instead.
        mean: Subtracted after scaling.
        std: Divided by after that.
        resize: ``stretch``, or ``longest``: the aspect is kept, and the rest filled up with the
            mean (``sam``).
        person_class: Index of the person among the classes of a class map or of the boxes.
        threshold: Foreground threshold on the network's probability (``matting``).
        downsample_ratio: Of a network with recurrent inputs: at which size it looks first.
        max_points: Largest number of point prompts (``sam``).
        negatives: The network understands background points, label 0 (``sam``).
    """

    path: str
    decoder_path: str | None = None
    decoder: SegmenterDecoder | None = None
    input_size: tuple[Side, Side] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["bgr", "rgb"] | None = None
    scale: Scale | Literal["max"] | None = None
    mean: tuple[Finite, Finite, Finite] | None = None
    std: tuple[Scale, Scale, Scale] | None = None
    resize: Literal["stretch", "longest"] | None = None
    person_class: int | None = Field(None, ge=0)
    threshold: float = Field(0.5, gt=0, lt=1)
    downsample_ratio: float | None = Field(None, gt=0, le=1)
    max_points: int = Field(6, ge=3)
    negatives: bool | None = None

    @model_validator(mode="after")
    def _two_files_are_promptable(self) -> SegmenterFile:
        if self.decoder_path is not None and self.decoder not in (None, "sam"):
            raise ValueError(f"decoder_path has no effect with decoder: {self.decoder}")
        return self


class DetectParams(_Section):
    """Person detection and the association of boxes with annotated people.

    Attributes:
        model: ``none`` (no detection), ``joints`` (the box of the projected joints stands in for a
            detection), the name of a detector in ``configs/models.yaml``, or a
            :class:`DetectorFile`.
        short_side: Show the detector no picture with a longer short side than this; None: what the
            network's input holds. Boxes are in source pixels either way.
        score: Lowest score of a detection.
        nms: IoU above which the weaker of two boxes of the same class is suppressed (decoders
            that need it).
        compare: What detections are compared with: the box of the projected ``joints``, or the
            ``annotation``'s box.
        iou: Lowest IoU between a detection and that box.
        expand: Factor on width and height of that box about its centre.
        max_area: A detection must have less than so many times the area of that box; None: any.
        min_joints_inside: A detection must hold at least this many of the person's joints (all of
            them if the person has fewer).
        unmatched: People without a detection are dropped, or keep the box of their projected
            joints, or the box in the annotation; counted either way. Whose joints nobody has
            labelled are not looked for: they keep the box in the annotation.
        max_hidden: People without a detection of whom more than this share is hidden are dropped,
            whatever ``unmatched`` says. What is hidden is known of few datasets.
        batch: Images per network call on a GPU. On a CPU it is one: more are no faster.
        threads: Threads of one ONNX Runtime session; each worker process has its own session, and
            one thread more that decodes ahead.
        device: ``auto`` takes CUDA where ONNX Runtime has it, else the CPU. ``tensorrt`` builds an
            engine for minutes when a network is first used, and keeps it beside the weights.
        half: With ``tensorrt``: compute in 16 bits, which changes results a little. A network
            exported in 16 bits needs no setting.
        cache_dir: Where weights are kept; None: ``$POSEPILE_MODELS``, else ``$DATA_ROOT/models``,
            else the user's cache folder.
    """

    model: Annotated[Name | Annotated[DetectorFile, Tag("file")], Discriminator(_name_or_file)] = (
        "none"
    )
    short_side: int | None = Field(None, ge=32)
    score: float = Field(0.5, ge=0, le=1)
    nms: float = Field(0.45, gt=0, le=1)
    compare: Literal["joints", "annotation"] = "joints"
    iou: float = Field(0.2, ge=0, le=1)
    expand: float = Field(1.25, ge=1, le=3)
    max_area: float | None = Field(None, gt=0, allow_inf_nan=False)
    min_joints_inside: int = Field(6, ge=0)
    unmatched: Literal["drop", "joints", "annotation"] = "drop"
    max_hidden: float = Field(1.0, ge=0, le=1)
    batch: int = Field(8, ge=1)
    threads: int = Field(1, ge=1)
    device: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    half: bool = False
    cache_dir: str | None = None

    @model_validator(mode="after")
    def _half_has_its_device(self) -> DetectParams:
        if self.half and self.device != "tensorrt":
            raise ValueError(f"half has no effect with detect.device = {self.device}")
        return self


def detects_only(params: DetectParams) -> DetectParams:
    """Returns the section of who looks for people alone; what is compared with them is refused.

    >>> detects_only(DetectParams(model="yolox_s", iou=0.3))
    Traceback (most recent call last):
    ValueError: iou has no effect here: detections are compared with nobody

    Raises:
        ValueError: A key was given that has no effect.
    """
    idle = {"compare", "iou", "expand", "max_area", "min_joints_inside", "unmatched", "max_hidden"}
    given = sorted(params.model_fields_set & idle) + ["model: joints"] * (params.model == "joints")
    if given:
        raise ValueError(f"{given[0]} has no effect here: detections are compared with nobody")
    return params


class SegmentParams(_Section):
    """Person masks on crops. Masks that come with the raw data always win.

    Attributes:
        model: ``none``; ``raw`` (only masks of the raw data); ``grabcut`` (no network: colour
            models seeded by the skeleton); the name of a segmenter in ``configs/models.yaml``; or
            a :class:`SegmenterFile`.
        splits: Splits whose crops are segmented.
        threshold: Foreground threshold on the network's probability; None: of ``models.yaml``.
        min_area: A mask with less than this share of the box area is no mask.
        min_joints_covered: A mask must cover at least this share of the person's joints inside the
            crop (tested with some pixels of tolerance).
        threads: Threads of one ONNX Runtime session.
        device: ``auto`` takes CUDA where ONNX Runtime has it.
        cache_dir: As in :class:`DetectParams`.
    """

    model: Annotated[
        Name | Annotated[SegmenterFile, Tag("file")], Discriminator(_name_or_file)
    ] = "raw"
    splits: tuple[Literal["train", "val", "test"], ...] = Field(
        ("train", "val", "test"), min_length=1
    )
    threshold: float | None = Field(None, gt=0, lt=1)
    min_area: float = Field(0.05, ge=0, le=1)
    min_joints_covered: float = Field(0.3, ge=0, le=1)
    threads: int = Field(1, ge=1)
    device: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    cache_dir: str | None = None

    @model_validator(mode="after")
    def _threshold_has_a_network(self) -> SegmentParams:
        if self.threshold is not None and self.model in ("none", "raw", "grabcut"):
            raise ValueError(f"threshold has no effect with segment.model = {self.model}")
        return self
