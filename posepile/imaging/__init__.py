"""Pixels in, pixels out: JPEG, video, warping, masks. Knows no dataset and no stage."""

from __future__ import annotations

from collections.abc import Callable

KERNELS = 210  # about so many functions are compiled with an empty cache


def warmup(
    *more: Callable[[], None],
    announce: Callable[[str], None] | None = None,
    step: Callable[[str], None] | None = None,
) -> list[str]:
    """Compiles the kernels into the cache on the disk, once per machine.

    Call it before worker processes start: with an empty cache each of them would compile the
    same. Lens models follow at the first camera that has one, also once (see ``lenses``).

    Args:
        more: Functions that call further compiled code of other rooms on small inputs.
        announce: Is given a line to show if anything must be compiled.
        step: Is given the name of each function before it is compiled.

    Returns:
        Names of what was compiled; empty if everything was in the cache.
    """
    from posepile.imaging import compiling

    def exercise():
        from posepile.imaging.exercise import draw_crops

        draw_crops()
        for function in more:
            function()

    names = ("kernels", "conversion", "warp", "lenses", "exercise", "compiling")
    modules = [f"posepile.imaging.{n}" for n in names] + [f.__module__ for f in more]
    return compiling.compile_once("kernels", exercise, tuple(modules), announce, 25, step)


def preload() -> None:
    """Imports what workers need for cropping and loads the compiled kernels.

    For the process that workers are forked from, and for a worker that was not forked from such
    a one: afterwards deltacamera's functions are cached like our own. It starts no threads.
    """
    from posepile.geometry.lenses import BEFORE_USE
    from posepile.imaging import exercise, lenses

    lenses.cache_library()
    if lenses.compile_lens not in BEFORE_USE:
        BEFORE_USE.append(lenses.compile_lens)
    exercise.draw_crops()
