"""Body models of examples: joints and vertices on demand, in other models, and over pictures."""

from posepile.posing.checks import Reposed, ReposeLimits, repose
from posepile.posing.posed import PosedChunk, converted_chunks, posed_chunks

__all__ = ["PosedChunk", "ReposeLimits", "Reposed", "converted_chunks", "posed_chunks", "repose"]
