"""Person segmenters: a crop with one wanted person in, that person's mask out.

Four kinds share one interface. Matting networks mark every person in the crop; promptable ones
are asked for one by box and joints; instance networks mark each person apart; GrabCut needs no
network. Whatever marks the foreground, the
same steps then cut it down to the wanted person: pixels nearer to another person's skeleton go to
that person, and only connected parts that the wanted person's own skeleton runs through are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.models import grabcut, onnx, sessions, weights
from posepile.models.decoders.form import Look
from posepile.models.external import network_sha256
from posepile.models.instances import Instances
from posepile.models.matting import Matting
from posepile.models.params import SegmenterFile, SegmentParams
from posepile.models.person_mask import Edges, box_region, select_person
from posepile.models.promptable import SIDE, OneFile, Promptable, TwoFiles, decoder_form
from posepile.models.recognise import load_test_picture, recognise
from posepile.models.recognise_masks import (
    LOOK,
    PERSON_BOX,
    claims_boxes,
    is_promptable,
    recognise_matting,
    refuse_parts,
    takes_embeddings,
)
from posepile.models.signature import read_signature
from posepile.models.weights import WeightSpec

MATTING_SIDE = 512  # of the input of matting networks that leave it free


def load_segmenter(params: SegmentParams) -> Segmenter | None:
    """Loads the segmenter of ``params.model``; None for ``none`` and ``raw``, which need none.

    Raises:
        UsageError: Unknown name, missing file, missing ONNX Runtime, or a network that is not what
            it is said to be.
        CorruptInput: A weight file that is not what it should be.
        WorkError: Weights that are not there.
    """
    if params.model in ("none", "raw"):
        return None
    if params.model == "grabcut":
        return Segmenter(grabcut.foreground, params, "grabcut")
    if isinstance(params.model, SegmenterFile):
        spec = params.model
        paths = [_existing("path", spec.path)]
        if spec.decoder_path is not None:
            paths.append(_existing("decoder_path", spec.decoder_path))
        digests = [network_sha256(path)[:12] for path in paths]
        label = " + ".join(f"{path.name}@{n}" for path, n in zip(paths, digests, strict=True))
    else:
        spec = weights.find_spec("segmenters", params.model)
        found = weights.installed(spec, params.cache_dir)
        paths = [found.paths.get("encoder", found.path)]
        paths += [found.paths["decoder"]] if "decoder" in found.paths else []
        label = f"{spec.name}@{found.digest[:12]}"
    foreground = load_network(spec, paths, params)
    if params.threshold is not None and foreground.kind != "matting":
        raise UsageError(
            f"segment.threshold has no effect with {label}: it gives masks, not probabilities; "
            f"leave it out"
        )
    return Segmenter(foreground, params, label)


def _existing(key: str, name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{path}: no such ONNX file (segment.model.{key})")
    return path


def load_network(
    spec: SegmenterFile | WeightSpec, paths: list[Path], params: SegmentParams
) -> Matting | Promptable | Instances:
    """Opens a network and finds out what it is.

    Args:
        spec: What is stated of it.
        paths: Its file, or those of its encoder and decoder.
        params: Threshold, threads, device.

    Raises:
        UsageError: It is no segmenter of a known kind, or not of the stated one; or it is, and
            something of it is wrong.
    """
    first = sessions.open_session(paths[0], params.threads, params.device)
    signature = read_signature(first, paths[0])
    stated = {k: v for k in LOOK if (v := getattr(spec, k, None)) is not None}
    own = isinstance(spec, SegmenterFile)

    def opened(usual: int, look: Look = onnx.RGB) -> onnx.ImageNetwork:
        return onnx.ImageNetwork(
            paths[0],
            threads=params.threads,
            device=params.device,
            input_size=spec.input_size,
            layout=spec.layout,
            look=look,
            usual_size=(usual, usual),
            session=first,
        )

    if len(paths) == 2:
        second = sessions.open_session(paths[1], params.threads, params.device)
        asked = _two_files(signature, opened, second, paths[1], stated)
        if own:
            asked.learn(load_test_picture(), PERSON_BOX)
        return Promptable(asked, spec.max_points, spec.negatives)
    refuse_parts(signature, paths[0])
    if is_promptable(signature) and spec.decoder in (None, "sam"):
        asked = OneFile(opened(SIDE, replace(Look(), **stated)))
        return Promptable(asked, spec.max_points, spec.negatives)
    if spec.decoder == "sam":
        raise CorruptInput(
            paths[0],
            f"{signature}, expected images, point coordinates and point labels as inputs",
            hint="choose another decoder or another export",
        )
    network = opened(MATTING_SIDE)
    not_matting = "it is said to be of instances"
    if spec.decoder in (None, "matting"):
        threshold = params.threshold if params.threshold is not None else spec.threshold
        ratio = getattr(spec, "downsample_ratio", None)
        found = recognise_matting(network, stated, spec.person_class, threshold, ratio)
        if not isinstance(found, str):
            return found
        not_matting = found
    if spec.decoder == "matting" or not claims_boxes(network.signature):
        raise CorruptInput(
            paths[0],
            not_matting if spec.decoder else f"{signature}: no segmenter of a known kind",
            hint="choose another decoder or another export",
        )
    stated.pop("resize", None)
    return Instances(network, recognise(network, None, spec.person_class, stated))


def _two_files(signature, opened, decoder, decoder_path: Path, stated: dict) -> TwoFiles:
    """An encoder and a decoder that belong together."""
    asks = read_signature(decoder, decoder_path)
    if takes_embeddings(signature) and not takes_embeddings(asks):
        raise UsageError(
            f"{signature.path} takes embeddings and points, {decoder_path} pictures: path: and "
            f"decoder_path: are the other way round"
        )
    if not takes_embeddings(asks):
        raise UsageError(
            f"{decoder_path}: {asks}: not the decoder of a promptable network, which takes "
            f"embeddings of the picture, points and their labels"
        )
    if len(signature.inputs) > 1:
        raise UsageError(
            f"{signature.path}: {signature}: not the encoder of a promptable network, which takes "
            f"a picture alone"
        )
    network = opened(SIDE)
    form = decoder_form(network, asks)
    network.show(replace(form.look, **stated))
    return TwoFiles(network, decoder, asks, form)


class Segmenter:
    """Segments the wanted person of a crop.

    Attributes:
        label: Method, and for networks the abbreviated checksum, for the manifest.
    """

    def __init__(self, foreground, params: SegmentParams, label: str):
        self.foreground = foreground
        self.params = params
        self.label = label

    def __call__(
        self,
        crop: np.ndarray,
        box: np.ndarray,
        joints: np.ndarray | None = None,
        others: Sequence[np.ndarray] = (),
        edges: Edges | None = None,
        taken: np.ndarray | None = None,
    ) -> dict | None:
        """Makes the mask of one person.

        Args:
            crop: uint8 RGB ``[h, w, 3]`` or grey.
            box: x, y, w, h of the person in crop pixels.
            joints: ``[J, 2]`` of the person in crop pixels, NaN = missing; None without joints.
            others: Joints of the other people, in the same pixels and order.
            edges: Pairs of joint indices that bones connect; None: guessed from distances.
            taken: Pixels that are known to be of others, bool ``[h, w]``; None: not known.

        Returns:
            RLE dict ``{"size": [h, w], "counts": bytes}``, or None where no mask agrees with box
            and joints.

        Raises:
            UsageError: A crop that is not 8-bit RGB or grey, or a box that is not finite.
        """
        crop = onnx.as_rgb(crop)
        box = np.asarray(box, np.float64)
        if not np.isfinite(box[:4]).all():
            raise UsageError(f"box {box[:4].tolist()}: finite x, y, w, h expected")
        rows, columns = box_region(crop.shape[:2], box)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        people = [np.asarray(o, np.float64) for o in others]
        foreground = self.foreground(crop, box, joints, people, edges)
        mask = select_person(
            foreground, box, joints, people, params=self.params, edges=edges, taken=taken
        )
        if mask is None:
            return None
        import rlemasklib

        return rlemasklib.encode(mask.astype(np.uint8))
