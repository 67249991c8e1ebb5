"""Feeding training with PyTorch (extra ``torch``): datasets, orders, batches, draws.

``CropLoader`` needs torch; all else can be imported without it.
"""

from typing import TYPE_CHECKING, Any

from posepile.torch.collate import collate
from posepile.torch.dataset import CropDataset
from posepile.torch.draw import Draw, Pick, make_draw
from posepile.torch.sampler import ShardShuffleSampler

if TYPE_CHECKING:
    from posepile.torch.loader import CropLoader

__all__ = [
    "CropDataset",
    "CropLoader",
    "Draw",
    "Pick",
    "ShardShuffleSampler",
    "collate",
    "make_draw",
]


def __getattr__(name: str) -> Any:
    if name == "CropLoader":
        try:
            from posepile.torch.loader import CropLoader
        except ModuleNotFoundError as e:
            if e.name != "torch":
                raise
            raise ImportError(
                "posepile.torch.CropLoader needs PyTorch: pip install 'torch>=2.6'"
            ) from None
        return CropLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
