"""A dataset released in parts, through a program of its own: what a YAML file says of it.

The program is trusted to fetch and to go on where it stopped, not to say what it has fetched:
after each call the disk is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from posepile.acquire.manifests import Bucket, Request, find_absent
from posepile.acquire.programs import AWS_KEY_TROUBLE, fetch_by_program
from posepile.errors import WorkError
from posepile.formats.yaml_files import read_yaml


class ProgramOptions(BaseModel):
    """What users may choose of a download by a program, below ``dataset.download:``.

    Attributes:
        s3_profile: AWS profile with the keys.
        absent: What to do about what is not on disk although the program has ended without an
            error: ``error``, or ``report`` where the release does not hold it.
        workers: Parallel transfers.
        fetch_manifests: Let ``posepile plan`` ask for missing manifests, through ``aws``. Nothing
            but this makes it use the network.
    """

    model_config = ConfigDict(extra="forbid")

    s3_profile: str = "default"
    absent: Literal["error", "report"] = "error"
    workers: int = Field(15, ge=1)
    fetch_manifests: bool = False


class Part(BaseModel):
    """A part of a release.

    Attributes:
        gigabytes: Published size.
        files: Glob below the root that matches a file once the part has arrived; names in braces
            stand for folders; empty where nothing is known.
        flag: Key of what the part is of: where it is false, there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gigabytes: float
    files: str = ""
    flag: str = ""


class Release(BaseModel):
    """What is told of a release.

    Attributes:
        program: Name of the program that fetches parts.
        url: ``s3://...`` of the folder of releases.
        install: How to install the program.
        renew: What to do when the keys do not work.
        key_trouble: Parts of lines that say so, besides the usual ones.
        left_out: Parts of lines that say that files were left out, whatever the exit code.
        parts: The parts, by name.
        sets: Names that the program takes for several parts; ``all`` is one of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: str
    url: str
    install: str
    renew: str
    key_trouble: list[str] = []
    left_out: list[str] = []
    parts: dict[str, Part]
    sets: dict[str, list[str]] = {}

    def spelled_out(self, names: Any) -> Any:
        """Returns names of parts, with those of sets replaced by their parts."""
        if not isinstance(names, list):
            return names  # refused elsewhere
        sets = {"all": list(self.parts), **self.sets}
        return list(dict.fromkeys(part for name in names for part in sets.get(name, [name])))

    def expected(self, part: str, folders: Mapping[str, str], of: Mapping) -> list[str]:
        """Returns the glob of which a file is here once a part has arrived; none if not known.

        Args:
            part: Name of the part.
            folders: What stands for the names in braces, empty = not known.
            of: What the part is of, as far as it is of one thing.
        """
        facts = self.parts[part]
        unknown = any(
            not folder and f"{{{name}}}" in facts.files for name, folder in folders.items()
        )
        if not facts.files or unknown or (facts.flag and of.get(facts.flag) is False):
            return []
        return [facts.files.format(**folders)]

    def bucket(self, root: Path, version: str, options: ProgramOptions) -> Bucket:
        """Returns where the manifests of a version are."""
        return Bucket(
            url=f"{self.url}/{version}",
            folder=root / "manifests" / version,
            gigabytes={name: part.gigabytes for name, part in self.parts.items()},
            profile=options.s3_profile if options.fetch_manifests else None,
            install=self.install,
            renew=self.renew,
            more="--set dataset.download.fetch_manifests=true asks for missing manifests through "
            "aws, with your keys (else no network is used)",
        )

    def fetch(
        self,
        root: Path,
        bucket: Bucket,
        request: Request,
        arguments: Sequence[str],
        expected: Callable[[str, str | None], Iterable[str]],
    ) -> list[str]:
        """Calls the program for a request; returns what has not arrived all the same, in lines.

        Args:
            root: Where the files lie.
            bucket: Where the manifests are.
            request: What the arguments ask for.
            arguments: Of the program.
            expected: As of :func:`posepile.acquire.manifests.find_absent`.

        Raises:
            WorkError: The program is missing, fails, or says that it has left files out.
        """
        fetch_by_program(
            [self.program, *arguments],
            install=self.install,
            renew=self.renew,
            key_trouble=(*AWS_KEY_TROUBLE, *self.key_trouble),
            left_out=self.left_out,
        )
        return list(find_absent(root, bucket, request, expected))

    def refuse(self, absent: list[str], accept: str = "") -> None:
        """Says what has not arrived.

        Args:
            absent: Lines of :meth:`fetch`.
            accept: How to go on without it, if one can.

        Raises:
            WorkError: Anything has not.
        """
        if absent:
            others = f"{len(absent) - 5} more" if len(absent) > 5 else ""
            said = "; ".join([*absent[:5], *filter(None, [others])])
            hint = f"; what the release does not hold is accepted with {accept}" if accept else ""
            raise WorkError(
                f"{self.program} ended without an error, but {said}; run this step again{hint}"
            )


def read_release(path: str | os.PathLike) -> Release:
    """Returns what ``release.yaml`` of a dataset says.

    Raises:
        UsageError: There is a mistake in it.
    """
    return read_yaml(path, Release)
