"""What a list of examples can be asked as a whole, beside what every list can."""

from __future__ import annotations

import html
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.store import bulk
from posepile.store.joint_chunks import world_chunks


class WholeList:
    """Columns, selections and views of a list of examples; to be put before a list class."""

    __slots__ = ()

    def column(self, name: str) -> np.ndarray:
        """Returns a field of all examples as an array ``[n, ...]``; see :func:`bulk.column`.

        Args:
            name: Such as ``bbox``, ``frame``, ``imshape``, ``dataset``, ``subject``,
                ``image_path``, ``has_mask``; another one is answered with the list of them.
        """
        return bulk.column(self, name)

    def codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Returns a text of all examples as int32 ``[n]`` and the strings these are numbers of."""
        return bulk.text_codes(self, name)

    def iter_joint_chunks(self, size: int = 4096) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterates over joint indices ``[j]`` and their world coordinates ``[n, j, 3]``.

        In any order of the examples, without those that have no world coordinates, and without
        joints that none of a chunk's skeleton has.
        """
        return world_chunks(self, size)

    def mask(self, **conditions: Any) -> np.ndarray:
        """Returns which examples meet all of some conditions, bool ``[n]``.

        Args:
            **conditions: By the name of a column: the value, or several values (a list, set,
                range, array or any other iterable) of which it is one, or a function. A function
                of a text is called with each different text; one of numbers is called once, with
                the whole column, and returns a bool for each row.

        Raises:
            UsageError: There is no such column, its values are none such as are given, or a
                function returns something else.
        """
        result = np.ones(len(self), bool)
        for name, condition in conditions.items():
            if name in bulk.TEXTS:
                numbers, texts = bulk.text_codes(self, name)
                if callable(condition):
                    meet = np.array([bool(condition(text)) for text in texts], bool)
                else:
                    wanted = _wanted_texts(condition, name)
                    meet = np.array([text in wanted for text in texts], bool)
                result &= meet[numbers] if len(texts) else False
                continue
            values = bulk.column(self, name)
            result &= _meets(values, condition, name)
        return result

    def where(self, **conditions: Any) -> Any:
        """Returns the list of the examples that meet all of some conditions; see :meth:`mask`."""
        return self[self.mask(**conditions)]

    def filter(self, function: Callable[[Any], Any]) -> Any:
        """Returns the list of the examples for which a function says yes.

        Each example is built for it; :meth:`where` does the same by columns, a hundred times
        faster.

        Args:
            function: Takes an example, without its image loaded.
        """
        kept = np.fromiter((bool(function(ex)) for ex in self), bool, len(self))
        return self[kept]

    def map(self, function: Callable[[Any], Any]) -> MappedExamples:
        """Returns a view in which a function is applied to an example each time it is asked for.

        Args:
            function: Takes an example and returns anything; ``examples[:] = …`` takes the view
                back where it returns examples.
        """
        return MappedExamples(self, function)

    def to_pandas(self, names: Sequence[str] = ()) -> Any:
        """Returns a ``pandas.DataFrame`` with a row for each example, in the order of the list.

        Its index is the position in the list, so ``examples[frame.query(…).index]`` are the
        examples that were found.

        Args:
            names: Columns as of :meth:`column`; none = what tells the examples apart. Texts of
                which many examples have the same are categories; a box becomes four columns,
                ``bbox_x`` to ``bbox_h``.

        Raises:
            UsageError: There is no such column, or pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError(
                "to_pandas: pandas is not installed; pip install pandas, or use column(name), "
                "which gives arrays"
            ) from None
        if isinstance(names, str):
            names = (names,)
        columns = {}
        for name in names or _OVERVIEW:
            if name in bulk.TEXTS and name != "image_path":
                numbers, texts = bulk.text_codes(self, name)
                columns[name] = pandas.Categorical.from_codes(numbers, texts)
                continue
            values = bulk.column(self, name)
            if values.ndim == 1:
                columns[name] = values
                continue
            flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
            ends = _PARTS.get(name) or [str(i) for i in range(flat.shape[1])]
            columns |= {f"{name}_{end}": flat[:, i] for i, end in enumerate(ends)}
        return pandas.DataFrame(columns)

    def source_names(self) -> list[str]:
        """Returns the names of the datasets behind the list, also of those without example in it.

        Nothing is opened for it.
        """
        return list(dict.fromkeys(map(source_name, self._sources)))

    def __repr__(self):
        names = self.source_names()
        if len(names) > _SHOWN:
            names = [*names[:_SHOWN], f"{len(names) - _SHOWN} more"]
        of = f" of {', '.join(names)}" if names else ""
        return f"<ExampleList of {len(self):,} examples{of}>"

    def _repr_html_(self):
        rows = []
        for i in range(min(len(self), _SHOWN)):
            ex = self[i]
            cells = (i, ex.image_path, ex.sequence, ex.frame, ex.person, np.round(ex.bbox, 1))
            rows.append("".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells))
        head = "".join(
            f"<th>{name}</th>"
            for name in ("", "image_path", "sequence", "frame", "person", "bbox")
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<p>{html.escape(repr(self)[1:-1])}</p><table><tr>{head}</tr>{body}</table>"


_SHOWN = 6
_OVERVIEW = ("dataset", "sequence", "frame", "person", "activity_name", "bbox", "imshape")
_PARTS = {"bbox": "xywh", "imshape": ("height", "width")}


def source_name(source: Any) -> str:
    """Returns the name of the dataset that a source's examples are of, without opening it."""
    name = getattr(source, "dataset", None)
    if name is None:
        name = str(source.annotation_path).rpartition("/")[2].removesuffix(".barecat")
    return name


def _meets(values, condition, name):
    if callable(condition):
        found = np.asarray(condition(values))
        if found.dtype != bool or found.shape != (len(values),):
            raise UsageError(
                f"condition for {name!r}: the function returned {found.dtype} of shape "
                f"{found.shape}, expected a bool for each of {len(values)} rows"
            )
        return found
    if values.ndim > 1:
        raise UsageError(
            f"condition for {name!r}: it has {values.shape[1:]} numbers per example; give a "
            "function of the whole column"
        )
    many = isinstance(condition, Iterable) and getattr(condition, "shape", None) != ()
    if many and not isinstance(condition, str | bytes):
        condition = list(condition)
    try:
        wanted = np.asarray(condition)
    except ValueError:  # lists of different lengths
        wanted = np.array(None)
    if wanted.size and wanted.dtype.kind not in "biuf":
        raise UsageError(
            f"condition for {name!r}: found {_shown(condition)}, expected a number, several "
            "numbers, or a function of the whole column"
        )
    return np.isin(values, wanted)


def _wanted_texts(condition, name):
    texts = {condition} if isinstance(condition, str) else condition
    texts = list(texts) if isinstance(texts, Iterable) else [texts]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(
            f"condition for {name!r}: found {_shown(condition)}, expected a text, several texts, "
            "or a function of a text"
        )
    return set(texts)


def _shown(condition):
    text = repr(condition)
    return text if len(text) <= 80 else f"{text[:77]}..."


class MappedExamples(Sequence):
    """A view of a list in which a function is applied to what is asked for.

    Args:
        examples: The list; changes of it are seen.
        function: Takes an example.
    """

    __slots__ = ("examples", "function")

    def __init__(self, examples: Any, function: Callable[[Any], Any]):
        self.examples = examples
        self.function = function

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, key):
        if isinstance(key, slice) or not hasattr(key, "__index__") or np.ndim(key):
            return MappedExamples(self.examples[key], self.function)
        return self.function(self.examples[operator.index(key)])

    def __iter__(self) -> Iterator[Any]:
        return map(self.function, self.examples)

    def map(self, function: Callable[[Any], Any]) -> MappedExamples:
        """Returns a view in which another function is applied to the result of this one."""
        return MappedExamples(self, function)

    def __repr__(self):
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"<{name} of {self.examples!r}>"
