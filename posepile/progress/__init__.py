"""How far a piece of work is: a bar at a terminal, a line now and then anywhere else."""

from posepile.progress.bar import Progress, doing, over
from posepile.progress.record import recorded, running

__all__ = ["Progress", "doing", "over", "recorded", "running"]
