"""How far a piece of work is: a bar at a terminal, a line now and then anywhere else."""

from posepile.progress.bar import Progress, doing, over
from posepile.progress.record import Recorder, by_host, file_clock, recorded, running, summed

__all__ = [
    "Progress",
    "Recorder",
    "by_host",
    "doing",
    "file_clock",
    "over",
    "recorded",
    "running",
    "summed",
]
