"""Videos that are published packed, as they are too large otherwise: their pictures, made once."""

from __future__ import annotations

import lzma
from functools import partial
from pathlib import Path

from posepile.errors import CorruptInput, one_line
from posepile.formats.derived import derived_folder
from posepile.formats.folders import numbered_files
from posepile.imaging.frames import open_frames
from posepile.imaging.jpeg import encode
from posepile.recipe import Video

_MOST = 20_000_000_000  # bytes of an unpacked video


def packed_pictures(video: Path, place: Path, size: tuple[int, int]) -> tuple[Path, ...]:
    """Returns the pictures of a video in an ``.xz`` file, as JPEG files that are made once.

    Unpacked and without compression a studio's recordings are terabytes.

    >>> import lzma
    >>> from posepile.miniature.video import write_video
    >>> write_video(folder / "left.avi", [np.zeros((48, 64, 3), np.uint8)] * 3, rate=25)
    >>> _ = (folder / "left.avi.xz").write_bytes(lzma.compress((folder / "left.avi").read_bytes()))
    >>> pictures = packed_pictures(folder / "left.avi.xz", folder / "gym_work", (64, 48))
    >>> [path.name for path in pictures]
    ['frame_000000.jpg', 'frame_000001.jpg', 'frame_000002.jpg']

    Args:
        video: The file.
        place: As of :func:`posepile.formats.derived.derived_folder`.
        size: Width and height of the pictures.

    Raises:
        CorruptInput: It is not whole, or holds no readable video of this size.
    """
    return numbered_files(derived_folder([video], place, partial(_unpack, video, size)))


def _unpack(video: Path, size: tuple[int, int], folder: Path) -> None:
    plain = folder / video.stem
    try:
        with lzma.open(video) as packed, plain.open("wb") as f:
            while data := packed.read(1 << 22):
                if f.write(data) and f.tell() > _MOST:
                    raise CorruptInput(video, f"unpacked it has more than {_MOST:,} bytes")
    except (lzma.LZMAError, EOFError) as e:
        text = f"not a whole .xz file: {one_line(e)}"
        raise CorruptInput(video, text, hint="fetch or extract it again") from None
    with open_frames(Video(plain, size=size)) as pictures:
        for k, picture in pictures.read(range(pictures.n_frames)):
            (folder / f"frame_{k:06d}.jpg").write_bytes(encode(picture.rgb(), quality=95))
    plain.unlink()
