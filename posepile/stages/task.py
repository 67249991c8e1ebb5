"""What a stage gets: one unit of work with everything that is needed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from posepile.imaging.cropping import CropParams
from posepile.models.params import DetectParams, SegmentParams
from posepile.stages.boxes import BoxParams
from posepile.stages.counts import Counts
from posepile.stages.plausible import CheckParams
from posepile.stages.select import SelectParams

if TYPE_CHECKING:
    from posepile.recipe import DatasetSpec, Sequence
    from posepile.stages.detections import Detections
    from posepile.stages.exclusions import Exclusion


class StageParams(BaseModel):
    """The parameters of all stages; each section is the model of the stage that reads it."""

    model_config = ConfigDict(extra="forbid")

    select: SelectParams = Field(default_factory=SelectParams)
    check: CheckParams = Field(default_factory=CheckParams)
    box: BoxParams = Field(default_factory=BoxParams)
    detect: DetectParams = Field(default_factory=DetectParams)
    segment: SegmentParams = Field(default_factory=SegmentParams)
    crop: CropParams = Field(default_factory=CropParams)


def needs_detector(params: StageParams) -> bool:
    """Returns whether boxes come from a network under these parameters."""
    return params.box.source == "detect" and params.detect.model not in ("none", "joints")


def segments(params: StageParams) -> bool:
    """Returns whether there is anything to be segmented under these parameters."""
    return params.segment.model not in ("none", "raw")


def _no_progress() -> None:
    pass


@dataclass
class Task:
    """One stage of one unit.

    Attributes:
        spec: The dataset.
        sequences: Loads the unit's annotations, once.
        params: Parameters of all stages.
        exclusions: What to leave out.
        out: The ``.part`` file to write.
        source: The ``.part`` file of the stage before, where there is one.
        counts: Counts are added here.
        threads: Threads this worker may use.
        progress: To be called after each frame: says that the unit is not stuck.
        detector: Loads the person detector, once per process.
        detections: Boxes made by an earlier detection stage, None if there are none.
        describe: Gives what the header of the part shall say about this result, when the counts
            are complete; gets the ids of the unit's sequences.
    """

    spec: DatasetSpec
    sequences: Callable[[], list[Sequence]]
    params: StageParams
    exclusions: list[Exclusion]
    out: Path
    source: Path | None = None
    counts: Counts = field(default_factory=Counts)
    threads: int = 1
    progress: Callable[[], None] = _no_progress
    detector: Callable[[], Any] | None = None
    detections: Detections | None = None
    describe: Callable[[list[str]], dict[str, Any]] | None = None

    def result(self, sequences: list[str] | None = None) -> dict[str, Any] | None:
        """Returns what the header says about this result; None where nobody asks."""
        if self.describe is None:
            return None
        ids = [s.id for s in self.sequences()] if sequences is None else sequences
        return self.describe(ids)
