"""The register of networks (``configs/models.yaml``) and their weight files in the local cache.

A weight file is fetched when a model is first loaded, never at import. It is written to
``<file>.part``, resumed from there after an interruption, checked, and only then renamed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from posepile.acquire.places import measure
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import disk_error, locked, read_json, write_json
from posepile.formats.yaml_files import describe, read_yaml
from posepile.models.params import Decoder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnownCopy(_Strict):
    """A file with the same weights but other bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int
    note: str


class WeightSpec(_Strict):
    """One entry of ``configs/models.yaml``; the keys are explained there."""

    name: str
    url: str
    sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    sha256_note: str | None = None
    bytes: int | None
    copies: tuple[KnownCopy, ...] = ()
    file: str | None = None
    licence: str
    source: str
    decoder: Decoder | Literal["matting", "sam"]
    input_size: tuple[int, int]
    layout: Literal["nchw", "nhwc"]
    channels: Literal["bgr", "rgb"]
    scale: float | Literal["max"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["letterbox", "centred", "stretch"] = "stretch"
    person_class: int | None = None
    threshold: float = 0.5
    max_points: int = 6
    negatives: bool = False
    good_for: str
    cost: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return self.file or self.url.rsplit("/", 1)[-1]

    def accepts(self, digest: str) -> bool:
        """Whether a file with this sha256 is this network."""
        return digest == self.sha256 or any(digest == copy.sha256 for copy in self.copies)


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
            f"unknown model {name!r}; configs/models.yaml has the {kind} {', '.join(known)}"
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


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file."""
    return measure(path)["sha256"]


def ensure_weights(spec: WeightSpec, cache_dir: Path | str | None = None) -> tuple[Path, str]:
    """Returns the verified weight file, fetching it if it is not in the cache.

    Args:
        spec: Which network.
        cache_dir: Default :func:`default_cache_dir`.

    Returns:
        Path of the file and its sha256.

    Raises:
        CorruptInput: The cached file is not the one the register (or the lock) names.
        WorkError: It cannot be fetched, or what arrived is wrong.
    """
    folder = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    path = folder / spec.file_name
    if path.is_file():
        return path, _check_cached(spec, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(
            f"{folder}: cannot hold the weights of {spec.name} ({e.strerror}); "
            f"set POSEPILE_MODELS to a writable folder"
        ) from None
    with locked(path.with_name(path.name + ".fetching"), waiting=f"{path}: waiting for the fetch"):
        if path.is_file():  # another process was faster
            return path, _check_cached(spec, path)
        digest = _fetch(spec, path)
        if spec.sha256 is None:
            _record_first_use(spec, path, digest)
    return path, digest


def _check_cached(spec: WeightSpec, path: Path) -> str:
    digest = file_sha256(path)
    if spec.sha256 is not None:
        expected, origin, ok = spec.sha256, "configs/models.yaml", spec.accepts(digest)
    elif _lock_path(path).is_file():
        try:
            expected = read_json(_lock_path(path))["sha256"]
        except (KeyError, TypeError):
            raise CorruptInput(
                _lock_path(path), "not a lock file", hint="move it away to trust the weight anew"
            ) from None
        origin, ok = _lock_path(path).name, digest == expected
    else:
        _record_first_use(spec, path, digest)
        return digest
    if not ok:
        size = path.stat().st_size
        raise CorruptInput(
            path,
            f"sha256 is {digest} ({size} bytes), expected {expected} "
            f"({spec.bytes if spec.bytes is not None else 'unknown'} bytes, from {origin})",
            hint="move it away and it is fetched again",
        )
    return digest


def _record_first_use(spec: WeightSpec, path: Path, digest: str) -> None:
    lock = {"file": path.name, "sha256": digest, "url": spec.url}
    write_json(_lock_path(path), lock, durable=True)
    print(
        f"{path}: sha256 {digest}, trusted on first use and recorded in {_lock_path(path).name}",
        file=sys.stderr,
    )


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock.json")


def _fetch(spec: WeightSpec, path: Path) -> str:
    """Fetches a weight file into its place; returns its sha256.

    What an earlier run left is continued, as long as every attempt brings more.
    """
    from posepile.acquire import transfer  # urllib3 is needed only here

    def inspect(part: Path, measured: dict[str, Any]) -> str | None:
        digest = measured["sha256"]
        if spec.sha256 is None or spec.accepts(digest):
            return None
        return (
            f"the file that arrived has sha256 {digest}, expected {spec.sha256} "
            f"(configs/models.yaml, {spec.name}); nothing was kept, try again or report it"
        )

    wanted = transfer.Transfer(
        spec.file_name,
        path,
        inspect=inspect,
        attempts=2,
        sleep=lambda seconds: None,
        confirmed=spec.sha256 is not None,
        limit=transfer.UNDECLARED_BYTES if spec.bytes is None else 2 * spec.bytes,
    )
    try:
        return transfer.fetch(wanted, spec.url)["sha256"]
    except transfer.NotFetched as e:
        if e.refused:
            raise WorkError(_html_message(spec)) from None
        if e.content:
            raise WorkError(f"{spec.url}: {e}") from None
        reason = str(e) if e.status is None else f"HTTP status {e.status}"
        raise WorkError(_offline_message(spec, path, reason)) from None
    except OSError as e:
        raise disk_error(e, path) from e


def _html_message(spec: WeightSpec) -> str:
    return (
        f"{spec.url}: a web page (text/html) came instead of the file; fetch {spec.file_name} by "
        f"hand from {spec.source}"
    )


def _offline_message(spec: WeightSpec, path: Path, reason: str) -> str:
    size = "" if spec.bytes is None else f", {spec.bytes} bytes"
    digest = spec.sha256 or "unknown"
    return (
        f"{path}: not in the cache and not to be had from {spec.url} ({reason}); fetch that URL "
        f"where there is a network and put the file (sha256 {digest}{size}) at {path}"
    )
