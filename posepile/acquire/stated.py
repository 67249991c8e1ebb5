"""Numbers that the authors of a dataset state, as ``sources.yaml`` holds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from posepile.acquire.places import Pattern, Strict


class StatedCount(Strict):
    """How many of something there are as the authors of a dataset state; a run compares.

    Attributes:
        what: What is counted, in plain words.
        of: ``units`` of work; ``files`` on the disk; ``annotated`` person-frames before selection;
            ``examples`` as packed.
        parts: Units whose ids have so many components in common count once (subjects); None = all.
        files: Pattern of the files.
        train: The number, as are ``val``, ``test`` and ``all``; a split without one is not
            compared.
        source: Where the number is stated.
    """

    what: str
    of: Literal["units", "files", "annotated", "examples"] = "units"
    parts: Annotated[int, Field(ge=1)] | None = None
    files: Pattern | None = None
    train: Annotated[int, Field(ge=0)] | None = None
    val: Annotated[int, Field(ge=0)] | None = None
    test: Annotated[int, Field(ge=0)] | None = None
    all: Annotated[int, Field(ge=0)] | None = None
    source: str = ""

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers that are stated, by split or ``all``."""
        found = {name: getattr(self, name) for name in ("train", "val", "test", "all")}
        return {name: n for name, n in found.items() if n is not None}

    @model_validator(mode="after")
    def _consistent(self):
        if (self.of == "files") != (self.files is not None):
            raise ValueError("files, and only they, need a pattern: of: files, files: <pattern>")
        if self.of == "files" and list(self.numbers) != ["all"]:
            raise ValueError("files are counted as a whole: all")
        if self.parts is not None and self.of != "units":
            raise ValueError("parts are those of the ids of units")
        if not self.numbers:
            raise ValueError("needs a number: train, val, test or all")
        return self
