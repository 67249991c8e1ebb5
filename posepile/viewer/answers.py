"""What the viewer answers to its page: plain values and pictures, no matter how they are asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from typing import Any

from posepile.errors import UsageError, whole_number
from posepile.imaging import jpeg
from posepile.recipe import SPLIT_NAMES, SPLITS
from posepile.store import bulk
from posepile.store.origin import UNKNOWN
from posepile.store.placed import without_placing
from posepile.viewer import scene
from posepile.viewer.browsing import COLUMNS, Browsed, rank_of
from posepile.viewer.marks import Marks
from posepile.viewer.quality import Quality

FILTERS = (*COLUMNS, "path", "quality", "marked")
MOST_ON_A_PAGE = 200
_THUMB_BYTES = 150_000  # larger files are made smaller for the page of many
_THUMB_SIDE = 300

_LAYERS = {"mask": "mask", "valid": "valid_poly"}  # of the page -> field of an example

Query = Mapping[str, str]


class Answers:
    """A dataset that is looked at.

    Args:
        name: What it is called in links.
        dataset: The dataset.
        marks: Where bad examples are listed.
        quality: What is odd about its examples.
    """

    def __init__(self, name: str, dataset: Any, marks: Marks, quality: Quality):
        self.name, self.dataset = name, dataset
        self.marks, self.quality = marks, quality
        self.splits = {
            split: Browsed(
                dataset.examples[number],
                lambda split=split: quality.of_split(split),
                marks.mask,
            )
            for number, split in SPLIT_NAMES.items()
        }
        lists = [browsed.examples for browsed in self.splits.values()]
        sources = {id(source): source for source in _sources(lists)}  # which the list holds
        self._sources = [s for s in sources.values() if hasattr(s, "archive")]
        self._writing = threading.Lock()
        self._is_warm = False
        self._has = {layer: bulk.has_any(lists, name) for layer, name in _LAYERS.items()}

    def require_current(self) -> None:
        """Checks that what is looked at is what is stored now.

        Raises:
            ArchiveReplaced: A dataset was packed again, so positions mean other examples.
        """
        for source in self._sources:
            source.require_current()

    def about(self, query: Query) -> dict[str, Any]:
        """Returns the facts of the whole dataset."""
        joints = self.dataset.joint_info
        facts = self.dataset.parts.values()
        ups = {tuple(f["world_up"]) for f in facts if f.get("world_up") is not None}
        return {
            "name": self.name,
            "kind": self.dataset.kind,
            "merged": bool(self.dataset.is_merged),
            "miniature": any(map(_is_made_up, self._sources)),
            "splits": {split: len(browsed) for split, browsed in self.splits.items()},
            "joints": list(joints.names),
            "edges": [[int(a), int(b)] for a, b in joints.stick_figure_edges],
            "up": list(map(float, ups.pop())) if len(ups) == 1 else None,
            "exclusions": str(self.marks.path),
            "columns": list(COLUMNS),
            "has": dict(self._has),
        }

    def facets(self, query: Query) -> dict[str, Any]:
        """Returns the texts of each column with counts, and what is odd."""
        _, browsed = self._split(query)
        self.quality.start()
        if not self._is_warm and len(browsed):
            self._is_warm = True
            threading.Thread(target=_warm, args=(browsed,), daemon=True).start()
        return {
            "facets": browsed.facets(_filters(query)),
            "quality": self.quality_state(query),
            "marked": len(self.marks),
        }

    def quality_state(self, query: Query) -> dict[str, Any]:
        """Returns how far the search for suspects is, and what it has found."""
        split, browsed = self._split(query)
        self.quality.start()
        state = self.quality.state
        counts = browsed.suspect_counts(_filters(query))
        return {
            "state": state,
            "problem": self.quality.problem,
            "total": counts.get("any", 0),
            "kinds": [
                {"kind": kind, "meaning": meaning, "count": counts.get(kind, 0)}
                for kind, meaning in self.quality.kinds(split).items()
            ],
        }

    def page(self, query: Query) -> dict[str, Any]:
        """Returns ``n`` of the examples that meet the filters, from rank ``from`` on."""
        split, browsed = self._split(query)
        found = browsed.select(_filters(query))
        start = min(_number(query, "from", 0), len(found))
        n = min(_number(query, "n", 48), MOST_ON_A_PAGE)
        items = []
        for rank in range(start, min(start + n, len(found))):
            position = int(found[rank])
            items.append({"rank": rank, **self._tile(split, browsed, position)})
        return {"total": len(found), "of": len(browsed), "from": start, "items": items}

    def _tile(self, split, browsed, position):
        example = browsed.examples[position]
        odd = self.quality.about(split, position)
        return {
            "position": position,
            "path": example.image_path,
            "person": int(getattr(example, "person", 0) or 0),
            "frame": int(getattr(example, "frame", -1)),
            "view": _known(getattr(example, "view", "")),
            "sequence": _known(getattr(example, "sequence", "")),
            "marked": self.marks.reason_of(example.image_path) is not None,
            "odd": [o["kind"] for o in odd],
            "why": odd[0]["reason"] if odd else "",
            **scene.overlay_of(example),
        }

    def example(self, query: Query) -> dict[str, Any]:
        """Returns one example with all that is drawn of it.

        It is asked for by ``rank`` among those that meet the filters, by ``position`` in the
        split, or by ``image`` (its image path) with ``person`` where a picture shows several.
        """
        split, browsed = self._split(query)
        found = browsed.select(_filters(query))
        if "rank" in query:
            rank = _number(query, "rank", 0)
            if not len(found):
                raise UsageError("no example meets the filters")
            rank = min(rank, len(found) - 1)
            position = int(found[rank])
        else:
            split, browsed, position = self._position(split, browsed, query)
            found = browsed.select(_filters(query))
            rank = rank_of(found, position)
        example = browsed.examples[position]
        path = example.image_path
        return {
            "split": split,
            "position": position,
            "rank": rank,
            "total": len(found),
            "path": path,
            **scene.scene_of(example),
            "marked": self.marks.reason_of(path),
            "odd": self.quality.about(split, position),
        }

    def _position(self, split, browsed, query):
        """Returns split, its examples, and the position that a query means."""
        if "position" in query:
            position = _number(query, "position", 0)
            if position >= len(browsed):
                raise UsageError(f"example {position}: {split} has {len(browsed):,}")
            return split, browsed, position
        path = query.get("image", "")
        # Of a link from elsewhere the split may be mistaken.
        for name in dict.fromkeys((split, *SPLITS)):
            hits = self.splits[name].find(path).tolist()
            if not hits:
                continue
            examples = self.splits[name].examples
            wanted = _number(query, "person", 0)
            own = [i for i in hits if int(getattr(examples[i], "person", 0) or 0) == wanted]
            return name, self.splits[name], (own or hits)[0]
        raise UsageError(f"{path}: no such image path in {self.name}")

    def together(self, query: Query) -> dict[str, Any]:
        """Returns all views of the instant of the example at ``position``."""
        split, browsed = self._split(query)
        position = _number(query, "position", 0)
        if position >= len(browsed):
            raise UsageError(f"example {position}: {split} has {len(browsed):,}")
        items = []
        for i in browsed.together(position):
            example = browsed.examples[i]
            items.append(
                {
                    **self._tile(split, browsed, i),
                    "camera": scene.camera_of(example),
                    "pose": scene.pose_of(example),
                }
            )
        return {"items": items}

    def mark(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Puts an example on the list of exclusions, or takes it off."""
        path, reason, on = asked.get("path"), asked.get("reason", ""), asked.get("on")
        typed = asked.get("typed", False)
        right = isinstance(path, str) and isinstance(reason, str) and isinstance(on, bool)
        if not right or not isinstance(typed, bool):
            raise UsageError("expected path, reason, typed and on")
        if not any(len(browsed.find(path)) for browsed in self.splits.values()):
            raise UsageError(f"{path}: no such image path in {self.name}")
        with self._writing:
            if on:
                self.marks.mark(path, reason, typed)
            else:
                self.marks.unmark(path)
        return {
            "marked": self.marks.reason_of(path),
            "covers": sum(self.marks.covers(path, each) for each in self.splits.values()),
            "file": str(self.marks.path),
        }

    def picture(self, split: str, position: int, small: bool) -> tuple[str, bytes]:
        """Returns the type and the bytes of the picture of an example, as it is stored.

        Args:
            split: Name of the split.
            position: In the split.
            small: A smaller one does as well.
        """
        browsed = self.splits.get(split)
        if browsed is None or not 0 <= position < len(browsed):
            raise UsageError(f"{split} {position}: no such example")
        example = browsed.examples[position]
        data = _stored(example)
        kind = _kind_of(data) if data is not None else None
        if kind is None or (small and len(data) > _THUMB_BYTES):
            import cv2

            image = example.get_image()
            side = max(image.shape[:2])
            if small and side > _THUMB_SIDE:
                size = tuple(max(1, x * _THUMB_SIDE // side) for x in image.shape[1::-1])
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            return "image/jpeg", jpeg.encode(image, 88)
        return kind, data

    def _split(self, query):
        split = query.get("split") or next((s for s, b in self.splits.items() if len(b)), "train")
        if split not in self.splits:
            raise UsageError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
        return split, self.splits[split]


def _is_made_up(source):
    """Returns whether an archive says that it is of a miniature."""
    data = source.archive().get("manifest.json")
    try:
        return bool(data) and bool(json.loads(data).get("miniature"))
    except (ValueError, AttributeError):
        return False


def _sources(lists):
    """Iterates over what examples are taken from, one source once for each list."""
    for examples in lists:
        for _, _, source in examples.by_source():
            yield without_placing(source)


def _warm(browsed):
    """Imports what drawing an example needs, while somebody looks at the first page."""
    with contextlib.suppress(Exception):  # told when an example is asked for
        scene.scene_of(browsed.examples[0])
        import cv2  # noqa: F401
        import rlemasklib  # noqa: F401


def _known(text):
    return "" if text is None or text == UNKNOWN else str(text)


def _filters(query):
    return {name: query[name] for name in FILTERS if query.get(name)}


def _number(query, name, default):
    if name not in query:
        return default
    value = whole_number(query[name])
    if value is None:
        raise UsageError(f"{name} = {query[name][:40]!r}: expected a number from 0 on")
    return value


def _stored(example):
    """Returns the bytes of an example's picture where it lies in an archive; None elsewhere."""
    place = getattr(example, "place", None)
    if place is None or not hasattr(place[0], "image_bytes"):
        return None
    return place[0].image_bytes(place[1])


def _kind_of(data):
    """Returns the type of pictures that browsers show and that hold nothing but a picture."""
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    return None
