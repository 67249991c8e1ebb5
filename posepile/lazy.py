"""What lazy examples have in common, 2D or 3D.

A lazy example holds a source and a row. Its fields are slots that stay unset until first asked
for; Python then calls ``__getattr__``, which fetches the one field. Sources are in
:mod:`posepile.archive`; they offer ``fetch(row, name)``, ``image_path(row)``, ``path(row)``,
``image(row)`` and ``reduce_example(row)``.
"""

from __future__ import annotations

from typing import Any

_set = object.__setattr__


def make_lazy(example: Any, source: Any, row: Any) -> None:
    """Makes a bare object the lazy example of a row."""
    _set(example, "_source", source)
    _set(example, "_row", row)
    _set(example, "_touched", False)


def fetch_field(example: Any, name: str) -> Any:
    """Returns a field that is not there yet and keeps it; None for what only the user can set."""
    record_field = example.FETCHED.get(name)
    if record_field is None:
        if name in example.ABSENT:
            return None
        raise AttributeError(f"{type(example).__name__!r} object has no attribute {name!r}")
    value = example._source.fetch(example._row, record_field)
    # From now on the caller may change the value in place.
    _set(example, name, value)
    _set(example, "_touched", True)
    return value


def set_touched(example: Any, name: str, value: Any) -> None:
    """Sets a field and remembers that the example is no longer what the archive says."""
    _set(example, "_touched", True)
    if name == "image_path":
        example.__dict__["_image_path"] = value
    else:
        _set(example, name, value)


def load_lazy(example: Any, load_image: bool) -> Any:
    """Fetches all fields of an example."""
    source, row = example._source, example._row
    if not example._touched and source.getters:
        for name, getter in source.getters.items():
            _set(example, name, getter(row))
        _set(example, "_touched", True)
    else:
        for name in example.FETCHED:
            getattr(example, name)
    if load_image and example.image is None:
        _set(example, "image", example._source.image(example._row))
    return example


def same_lazy(example: Any, other: Any) -> Any:
    """Compares by place in the archive; an example that was changed equals only itself."""
    if example is other:
        return True
    place = example.pristine_place
    other_place = getattr(other, "pristine_place", None)
    if place is None or other_place is None:
        return NotImplemented
    return place[1] == other_place[1] and place[0] == other_place[0]


def reduce_lazy(example: Any) -> tuple:
    """Pickles as the place in the archive, plus whatever has been fetched or set."""
    make, args = example._source.reduce_example(example._row)
    if not example._touched:
        return make, args
    state = dict(example.__dict__)
    for name in (*example.FETCHED, *example.ABSENT):
        slot = getattr(type(example), name)
        try:
            state[name] = slot.__get__(example)
        except AttributeError:
            continue
    return make, args, state


def restore_lazy(example: Any, state: dict[str, Any]) -> None:
    """Gives back what :func:`reduce_lazy` kept."""
    _set(example, "_touched", True)
    for name, value in state.items():
        _set(example, name, value)


def lazy_properties() -> tuple[property, ...]:
    """Returns the properties that need no fetching, in the order of the class statement."""
    return (
        property(
            _image_path,
            set_image_path,
            doc="Path relative to DATA_ROOT, before and after loading.",
        ),
        property(lambda ex: ex._source.path(ex._row), doc="Key of the example's entry."),
        property(_pristine_place, doc="(source, row) if nothing was fetched or set, else None."),
        property(lambda ex: ex._source.annotation_path, doc="Path of the annotation archive."),
        property(lambda ex: ex._source.image_archive_path, doc="Path of the image archive."),
        property(lambda ex: ex._source.n_joints, doc="Number of joints of the skeleton."),
    )


def set_image_path(example: Any, value: Any) -> None:
    """Overrides the image path of one example."""
    set_touched(example, "image_path", value)


def _image_path(example):
    if example._touched:
        own = example.__dict__.get("_image_path")
        if own is not None:
            return own
    return example._source.image_path(example._row)


def _pristine_place(example):
    return None if example._touched else (example._source, example._row)
