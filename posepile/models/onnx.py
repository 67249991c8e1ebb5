"""Networks that take pictures: layout checks, how pictures are shown to them, batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from posepile.errors import CorruptInput, UsageError, one_line
from posepile.models.decoders.form import Form, Look, no_feeds
from posepile.models.sessions import Device, on_gpu, open_session
from posepile.models.signature import Port, read_signature

_LARGEST_INPUT = 16384  # pixels of a side
_LARGEST_BATCH = 1024
RGB = Look()


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Checks an image and makes it uint8 RGB ``[h, w, 3]``.

    The stated rule: 8-bit grey is repeated over the three channels; everything that would need a
    decision about its range or transparency (16-bit, float, alpha) is refused. Images are taken as
    they are stored: an EXIF orientation tag has no influence, because annotations refer to stored
    pixels.

    Raises:
        UsageError: Any other type or shape.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise UsageError(
            f"image of type {image.dtype}: 8 bits per channel expected; convert it to uint8 first"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(f"image of shape {image.shape}: [h, w, 3] RGB or [h, w] grey expected")
    return image


def letterbox_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Size ``(w, h)`` an image of ``size`` is resized to before it is padded to ``target``."""
    ratio = min(target[0] / size[0], target[1] / size[1])
    return max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))


def centred_size(
    size: tuple[int, int], target: tuple[int, int], margin: int = 0
) -> tuple[int, int]:
    """Like :func:`letterbox_size`, rounded to the nearest, with ``margin`` pixels left free."""
    ratio = min((target[0] - margin) / size[0], (target[1] - margin) / size[1])
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def by_image(rows: np.ndarray, n: int) -> np.ndarray:
    """Returns ``[n, most, columns - 1]`` of rows ``[m, columns]`` that begin with the image.

    Rows of fewer boxes are filled up with zeros; rows of images beyond ``n`` are left out.
    """
    parts = [rows[rows[:, 0] == i, 1:] for i in range(n)]
    out = np.zeros((n, max(map(len, parts), default=0), rows.shape[1] - 1), np.float32)
    for one, part in zip(out, parts, strict=True):
        one[: len(part)] = part
    return out


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays one after the other; lists ``[n, most, ...]`` of fewer boxes filled up."""
    if parts[0].ndim > 1:
        most = max(part.shape[1] for part in parts)
        parts = [
            np.pad(part, [(0, 0), (0, most - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
            if part.shape[1] < most
            else part
            for part in parts
        ]
    return np.concatenate(parts)


def refuse_nan(outputs: dict[str, np.ndarray], path: Path) -> None:
    """Looks for what is no number, which no score is above and no comparison shows.

    Raises:
        UsageError: An output has such values.
    """
    for name, array in outputs.items():
        # The sum is a look at all of them for a tenth of the time.
        if array.dtype.kind == "f" and np.isnan(array.sum()) and np.isnan(array).any():
            raise UsageError(
                f"{path}: output {name} has values that are not a number for a picture; 16 bits "
                f"may be too few for it, so export it in 32"
            )


class ImageNetwork:
    """A network that takes a batch of images, and perhaps more.

    Args:
        path: ONNX file.
        threads: Intra-op threads.
        device: See :func:`posepile.models.sessions.open_session`.
        half: As there.
        batch: Images per call on a GPU, always as many, so that no result depends on how many
            there are. On a CPU, where more at a time are no faster, it is one.
        input_size: ``(h, w)``; None: as fixed in the file.
        usual_size: Taken where neither says it.
        layout: ``nchw`` or ``nhwc``; None: as the file declares it.
        look: How images are shown to it; see :meth:`show`.
        session: The file, where it is open already.

    Attributes:
        signature: What the file declares.
        image: The input that takes the images.

    Raises:
        CorruptInput: The file's image input does not have the stated layout.
    """

    PAD = 114

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        device: Device = "auto",
        half: bool = False,
        batch: int = 1,
        input_size: tuple[int, int] | None = None,
        layout: Literal["nchw", "nhwc"] | None = None,
        look: Look = RGB,
        usual_size: tuple[int, int] | None = None,
        session=None,
    ):
        self.path = Path(path)
        self.session = session or open_session(self.path, threads, device, half)
        self.signature = read_signature(self.session, self.path)
        self.outputs = [port.name for port in self.signature.outputs]
        self.image = self._image_input(layout)
        # Some take one picture at a time, without a dimension for more.
        self.dims = (1,) * (4 - len(self.image.shape)) + self.image.shape
        self.layout = layout or ("nhwc" if self.dims[3] == 3 else "nchw")
        self.fixed_batch, self.input_size = self._check_input(input_size, usual_size)
        self._batch = self.fixed_batch or (batch if on_gpu(self.session) else 1)
        self.show(look)

    def show(self, look: Look, form: Form | None = None) -> None:
        """States how images are shown, and what the network is given and gives besides.

        Args:
            look: Channels, range and size.
            form: What kind of detector it is taken for; None: it takes pictures alone.
        """
        self.look, self.feeds = look, form.feeds if form else no_feeds
        self.flat, self.alone = bool(form and form.flat), bool(form and form.alone)
        self.channels, self.resize, self.scale = look.channels, look.resize, look.scale
        self.mean, self.std = np.array(look.mean, np.float32), np.array(look.std, np.float32)

    @property
    def batch(self) -> int:
        """Images per call, as the file, its form or the device wants it."""
        return 1 if self.alone else self._batch

    def _image_input(self, layout: str | None) -> Port:
        """The first input of pictures: four dimensions, three channels; or one picture's three."""
        for port in self.signature.inputs:
            if len(port.shape) == 4 and {port.shape[1], port.shape[3]} & {3, None}:
                return port
        for port in self.signature.inputs:
            if len(port.shape) == 3 and 3 in (port.shape[0], port.shape[2]):
                return port
        expected = "[batch, 3, height, width]" if layout != "nhwc" else "[batch, h, w, 3]"
        shown = ", ".join(f"input {port}" for port in self.signature.inputs)
        raise CorruptInput(
            self.path,
            f"{shown}, expected float32 {expected}",
            hint="it does not take RGB images",
        )

    def _check_input(
        self, wanted: tuple[int, int] | None, usual: tuple[int, int] | None
    ) -> tuple[int | None, tuple[int, int]]:
        """Returns the batch size the file fixes, None if free, and the input's height and width.

        A size that the file fixes wins; else ``wanted``, its metadata, ``usual``, in this order.

        Raises:
            CorruptInput: The input takes no pictures of the layout, or not of the wanted size.
            UsageError: Nothing says its size.
        """
        port, dims = self.image, self.dims
        shown = f"input {port}"
        expected = "[batch, 3, height, width]" if self.layout == "nchw" else "[batch, h, w, 3]"
        if port.type not in ("float32", "float16", "uint8"):
            raise CorruptInput(self.path, f"{shown}, expected float32 {expected}")
        c, h, w = (1, 2, 3) if self.layout == "nchw" else (3, 1, 2)
        if dims[c] not in (3, None):
            name = "nhwc" if self.layout == "nchw" else "nchw"
            raise CorruptInput(
                self.path,
                f"{shown}, expected {expected} (layout {self.layout})",
                hint=f"set layout: {name}",
            )
        free = wanted or self.signature.picture_size() or usual or (None, None)
        size = tuple(
            free[i] if fixed is None else fixed for i, fixed in enumerate((dims[h], dims[w]))
        )
        if None in size:
            raise UsageError(f"{self.path}: {shown}; its size is free, so set input_size: [h, w]")
        batch = 1 if dims[0] is None else dims[0]
        if not all(0 < n <= _LARGEST_INPUT for n in size) or not 0 < batch <= _LARGEST_BATCH:
            expected = f"a batch of 1 to {_LARGEST_BATCH}, sides of 1 to {_LARGEST_INPUT}"
            raise CorruptInput(self.path, f"{shown}, expected {expected}")
        if wanted is not None and tuple(wanted) != size:
            raise CorruptInput(self.path, f"{shown}, expected an input size of {list(wanted)}")
        return dims[0], size

    def answer(self, images: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Returns every output by name for uint8 RGB images, batch first; halves as floats."""
        return self.answer_prepared(self.preprocess(images))

    def answer_prepared(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Same as :meth:`answer`, for the output of :meth:`preprocess`."""
        outputs = self.run(batch)
        return {
            name: out.astype(np.float32) if out.dtype == np.float16 else out
            for name, out in zip(self.outputs, outputs, strict=True)
        }

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The part ``(w, h)`` of the network's input that an image of ``size`` (w, h) fills."""
        h, w = self.input_size
        if self.resize == "stretch":
            return w, h
        if self.resize == "centred":
            return centred_size(size, (w, h), self.look.margin)
        if self.resize == "longest":
            return centred_size(size, (w, h))
        return letterbox_size(size, (w, h))

    def offset(self, size: tuple[int, int]) -> tuple[int, int]:
        """The column and row of the network's input where an image of ``size`` (w, h) begins."""
        if self.resize != "centred":
            return 0, 0
        w, h = self.resized_size(size)
        return (self.input_size[1] - w) // 2, (self.input_size[0] - h) // 2

    def preprocess(self, images: list[np.ndarray]) -> np.ndarray:
        """Turns uint8 RGB images into float32 ``[n, 3, h, w]``, or ``[n, h, w, 3]`` for nhwc."""
        batch = np.empty((len(images), 3, *self.input_size), np.float32)
        for out, image in zip(batch, images, strict=True):
            self._lay_out(image, out)
        if self.layout == "nhwc":
            batch = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
        return batch

    def _lay_out(self, image: np.ndarray, out: np.ndarray) -> None:
        """Writes an image into ``out``, float32 ``[3, h, w]``."""
        from posepile.imaging import conversion

        size = self.resized_size((image.shape[1], image.shape[0]))
        left, top = self.offset((image.shape[1], image.shape[0]))
        right, bottom = left + size[0], top + size[1]
        # Linear is what the letterboxed networks were trained and are deployed with; the
        # stretched ones were trained with an antialiasing filter, which area averaging is.
        shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
        area = self.resize == "stretch" and self.look.antialias and shrinks
        if size != (image.shape[1], image.shape[0]):
            image = cv2.resize(
                np.ascontiguousarray(image),
                size,
                interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR,
            )
        padded = size != self.input_size[::-1]
        fill, scale = np.array(self._fill(), np.float32), self.scale
        if scale == "max":
            scale = 1 / max(1.0, float(image.max()), *(fill if padded else ()))
        scale = np.float32(scale)
        bgr = self.channels == "bgr"
        conversion.to_planes(image, bgr, (left, top), scale, self.mean, self.std, out)
        if padded:
            edge = ((fill * scale - self.mean) / self.std)[:, None, None]
            out[:, :top] = out[:, bottom:] = edge
            out[:, top:bottom, :left] = out[:, top:bottom, right:] = edge

    def _fill(self) -> list[float]:
        """By channel, what is beside the picture, in 0..255."""
        if self.look.fill == "grey" or self.scale == "max":
            return [float(self.PAD)] * 3
        return [float(mean) / self.scale for mean in self.mean]

    def run(self, batch: np.ndarray, **more: np.ndarray) -> list[np.ndarray]:
        """Runs the network on any number of inputs, also where the file fixes the batch size.

        Args:
            batch: Output of :meth:`preprocess`.
            **more: Further inputs by name; only with a single call's worth of images.

        Returns:
            Every output, as long as ``batch`` in the first dimension.
        """
        step = self.batch
        if more or step == len(batch):
            return self._by_image(self._run(batch, more), len(batch))
        parts = []
        for i in range(0, len(batch), step):
            piece = batch[i : i + step]
            n = len(piece)
            if n < step:
                piece = np.concatenate([piece, np.zeros((step - n, *piece.shape[1:]), np.float32)])
            parts.append([out[:n] for out in self._by_image(self._run(piece, {}), n)])
        return [joined(outs) for outs in zip(*parts, strict=True)]

    def _by_image(self, outputs: list[np.ndarray], n: int) -> list[np.ndarray]:
        if self.alone:
            return [out[None] for out in outputs]
        return [by_image(out, n) for out in outputs] if self.flat else outputs

    def _run(self, batch: np.ndarray, more: dict[str, np.ndarray]) -> list[np.ndarray]:
        planes = batch.transpose(0, 3, 1, 2) if self.layout == "nhwc" else batch
        feeds = more or self.feeds(self.signature, planes, self.input_size)
        if self.image.type != "float32":
            batch = batch.astype(self.image.type)
        if len(self.image.shape) == 3:
            (batch,) = batch
        try:
            return self.session.run(None, {self.image.name: batch, **feeds})
        except Exception as e:  # bare ones of the binding's own, one class per status
            if not type(e).__module__.startswith("onnxruntime") and not isinstance(e, ValueError):
                raise
            text = one_line(e)
        if "alloc" in text.lower():
            raise MemoryError(f"{self.path}: {text}")
        raise UsageError(f"{self.path}: {self.signature}: fails at a picture: {text}")
