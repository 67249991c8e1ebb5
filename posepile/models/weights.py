"""The register of networks (``configs/models.yaml``) and their files on the disk.

Files come by the download step (:mod:`posepile.models.weight_sources`) or by hand. Whenever a
network is loaded, they are compared with their checksums. Loading fetches nothing.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from posepile.acquire.lockfile import lock_path, read_lock, remember
from posepile.acquire.places import measure
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.yaml_files import describe, read_yaml
from posepile.models.params import Decoder, SegmenterDecoder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnownCopy(_Strict):
    """A file with the same weights but other bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int
    note: str


class WeightFile(_Strict):
    """One file of a network.

    Attributes:
        part: What it holds, where a network comes in several: ``encoder``, ``decoder``, ...
        url: Where its owner publishes it.
        sha256: Of the file; None where nobody states it.
        sha256_note: Why it is None.
        bytes: Its size; None where nobody states it.
        copies: Files that may lie in its place.
        file: Its name in the folder of weights; the last part of the address if left out.
        member: Pattern of its name in the archive behind ``url``, where that is one. ``file`` is
            then a name in a folder of its own, with the same last part.
        archive_sha256: Of that archive.
        archive_bytes: Size of that archive.
    """

    part: str = "network"
    url: str
    sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    sha256_note: str | None = None
    bytes: int | None
    copies: tuple[KnownCopy, ...] = ()
    file: str | None = None
    member: str | None = None
    archive_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    archive_bytes: int | None = None

    @model_validator(mode="after")
    def _in_an_archive(self) -> WeightFile:
        if self.member is None:
            return self
        folder, _, name = (self.file or "").rpartition("/")
        if not folder or name != self.member.rpartition("/")[2]:
            raise ValueError("with member: file must be <folder>/<last part of member>")
        return self

    @property
    def file_name(self) -> str:
        """Name of the file in the folder of weights."""
        return self.file or self.url.rsplit("/", 1)[-1]

    def accepts(self, digest: str) -> bool:
        """Whether a file with this sha256 is this one."""
        return digest == self.sha256 or any(digest == copy.sha256 for copy in self.copies)


class WeightSpec(_Strict):
    """One entry of ``configs/models.yaml``; the keys are explained there.

    A network in one file has the keys of :class:`WeightFile` beside its own, one in several has a
    list of them as ``files``.
    """

    name: str
    files: Annotated[tuple[WeightFile, ...], Field(min_length=1)]
    licence: str
    source: str
    decoder: Decoder | SegmenterDecoder
    input_size: tuple[int, int]
    layout: Literal["nchw", "nhwc"]
    channels: Literal["bgr", "rgb"]
    scale: float | Literal["max"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["letterbox", "centred", "stretch", "longest"] = "stretch"
    person_class: int | None = None
    threshold: float = 0.5
    max_points: int = 6
    negatives: bool = False
    good_for: str
    cost: str

    @model_validator(mode="before")
    @classmethod
    def _with_files(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "files" in data:
            return data
        keys = set(WeightFile.model_fields) - {"part"}
        file = {key: value for key, value in data.items() if key in keys}
        return {k: v for k, v in data.items() if k not in keys} | {"files": [file]}

    @model_validator(mode="after")
    def _distinct(self) -> WeightSpec:
        parts = [file.part for file in self.files]
        if len(set(parts)) < len(parts):
            raise ValueError(f"two files have the part {max(parts, key=parts.count)!r}")
        return self


class Weights(NamedTuple):
    """The files of a network as they lie on the disk, compared with their checksums.

    Attributes:
        paths: Part -> file; one part, ``network``, where a network is in one file.
        digest: SHA-256 of the file; of several, that of their checksums in the order of the
            register.
    """

    paths: dict[str, Path]
    digest: str

    @property
    def path(self) -> Path:
        """The only file, or the first."""
        return next(iter(self.paths.values()))


def registry_path() -> Path:
    """``configs/models.yaml`` of the checkout, or its copy in the wheel."""
    package = Path(__file__).parent.parent
    packaged = package / "configs" / "models.yaml"
    return packaged if packaged.is_file() else package.parent / "configs" / "models.yaml"


def load_registry(path: Path | None = None) -> dict[str, dict[str, WeightSpec]]:
    """Reads the register of networks.

    Returns:
        ``{"detectors": {name: spec}, "segmenters": {name: spec}}``.

    Raises:
        UsageError: Unreadable or wrong file, naming the entry and key.
    """
    path = path or registry_path()
    raw = read_yaml(path, dict[Literal["detectors", "segmenters"], dict[str, dict[str, Any]]])
    registry: dict[str, dict[str, WeightSpec]] = {}
    for kind in ("detectors", "segmenters"):
        registry[kind] = {}
        for name, entry in raw.get(kind, {}).items():
            try:
                registry[kind][name] = WeightSpec.model_validate({**entry, "name": name})
            except pydantic.ValidationError as e:
                where = f"{kind}.{name}"
                raise UsageError(describe(e, path, entry, WeightSpec, where)) from None
    return registry


def find_spec(kind: Literal["detectors", "segmenters"], name: str) -> WeightSpec:
    """Looks a network up by name.

    Raises:
        UsageError: Unknown name; lists the known ones.
    """
    known = load_registry()[kind]
    if name not in known:
        raise UsageError(
            f"unknown model {name!r}; configs/models.yaml has the {kind} {', '.join(known)}; "
            f"a file is {{path: {name if name.endswith('.onnx') else 'FILE'}}}"
        )
    return known[name]


def default_cache_dir() -> Path:
    """``$POSEPILE_MODELS``, else ``$DATA_ROOT/models``, else the user's cache folder."""
    if os.environ.get("POSEPILE_MODELS"):
        return Path(os.environ["POSEPILE_MODELS"])
    if os.environ.get("DATA_ROOT"):
        return Path(os.environ["DATA_ROOT"]) / "models"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "posepile" / "models"


def weights_dir(cache_dir: Path | str | None) -> Path:
    """Returns the folder that holds weights: ``detect.cache_dir`` or the default."""
    return default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file."""
    return measure(path)["sha256"]


def ensure_weights(spec: WeightSpec, cache_dir: Path | str | None = None) -> tuple[Path, str]:
    """Returns the file of a network that is in one file, and its sha256.

    Args:
        spec: Which network.
        cache_dir: Default :func:`default_cache_dir`.

    Raises:
        CorruptInput: The file is not the one that the register (or the lock) names.
        WorkError: It is not there; says where it comes from and where it must lie.
    """
    found = installed(spec, cache_dir)
    return found.path, found.digest


def installed(spec: WeightSpec, cache_dir: Path | str | None = None) -> Weights:
    """Returns the files of a network, each compared with its checksum; fetches nothing.

    Args:
        spec: Which network.
        cache_dir: Default :func:`default_cache_dir`.

    Raises:
        CorruptInput: A file is not the one that the register (or the lock) names.
        WorkError: A file is not there; says where it comes from and where it must lie.
    """
    folder = weights_dir(cache_dir)
    paths, digests = {}, []
    for file in spec.files:
        path = folder / file.file_name
        if not path.is_file():
            how = f"posepile model fetch {spec.name} brings it, or {by_hand(file, folder)}"
            raise WorkError(f"{spec.name}: {path} is missing; {how}")
        paths[file.part] = path
        digests.append(checked_file(spec, file, folder))
    if len(digests) == 1:
        return Weights(paths, digests[0])
    return Weights(paths, hashlib.sha256("".join(digests).encode()).hexdigest())


def by_hand(file: WeightFile, folder: Path) -> str:
    """Returns how a person brings a file to its place."""
    size = "" if file.bytes is None else f", {file.bytes} bytes"
    what = "it" if file.member is None else f"{file.member} of it"
    return (
        f"fetch {file.url} where there is a network and put {what} at {folder / file.file_name} "
        f"(sha256 {file.sha256 or 'not published'}{size})"
    )


def checked_file(spec: WeightSpec, file: WeightFile, folder: Path) -> str:
    """Returns the sha256 of a file, compared with the register, or with that of its first use.

    Raises:
        CorruptInput: It is another.
    """
    path = folder / file.file_name
    digest = file_sha256(path)
    if file.sha256 is not None:
        expected, origin, ok = file.sha256, "configs/models.yaml", file.accepts(digest)
    else:
        entry = read_lock(folder).get(file.file_name)
        if entry is None:
            measured = {"bytes": path.stat().st_size, "sha256": digest}
            remember(folder, file.file_name, source=spec.name, origin=file.url, measured=measured)
            print(f"{path}: sha256 {digest}, trusted on first use", file=sys.stderr)
            return digest
        origin = lock_path(folder)
        expected, ok = entry.get("sha256"), digest == entry.get("sha256")
    if not ok:
        size = "unknown" if file.bytes is None else file.bytes
        raise CorruptInput(
            path,
            f"sha256 is {digest} ({path.stat().st_size} bytes), expected {expected} "
            f"({size} bytes, from {origin})",
            hint="move it away and run the download step, or put the right one there",
        )
    return digest
