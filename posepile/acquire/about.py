"""What the page of all datasets says of one of them, as ``sources.yaml`` holds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from posepile.acquire.places import Strict


class About(Strict):
    """What the page of all datasets says of this one, a few words each.

    Attributes:
        what: What was recorded, and how.
        by_hand: What a person must do before the download; ``nothing``.
        splits: The splits that the dataset has here; a helper has none.
        verified: How far the recipe has been tried on what the authors published.
    """

    what: Annotated[str, Field(min_length=1)]
    by_hand: Annotated[str, Field(min_length=1)]
    splits: list[Literal["train", "val", "test"]]
    verified: Annotated[str, Field(min_length=1)]
