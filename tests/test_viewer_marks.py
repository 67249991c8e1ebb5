"""The list of what is marked as bad: what is in it means its examples, and stays as it was."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posepile.merging.filters import _matching, exclusion_lines
from posepile.viewer.marks import Marks, pattern_of

ANY = st.text(
    st.one_of(st.sampled_from("a# *?[]\n\t\u2028\ufeff\x1c!-\r"), st.characters()), min_size=1
)
AWKWARD = ANY.filter(lambda text: "\0" not in text)
BREAK = r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]"


class Examples:
    """Some image paths, as a list of examples gives them to filters."""

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def codes(self, name):
        """Each text is one example's."""
        return np.arange(len(self.texts)), self.texts


@settings(max_examples=60, deadline=None)
@given(AWKWARD, st.lists(AWKWARD, max_size=6))
@example("walk #1/0.jpg", ["walk 11/0.jpg", "walk ?1/0.jpg", "walk [#]1/0.jpg x"])
@example(" a ", ["xax", "a", "  a "])
@example("#", ["x", "?", ""])
@example("\ufeff#", ["x#", "#"])
@example("\n#", ["x", "?"])
def test_filters_read_exactly_what_was_marked(tmp_path_factory, path, others):
    file = tmp_path_factory.mktemp("marks") / "x.txt"
    Marks(file).mark(path, "why # so")
    pattern = pattern_of(path)
    assert exclusion_lines(file) == [pattern]
    # Of names that differ by one character each, and of any, only the one itself is meant.
    near = {path[:i] + c + path[i + 1 :] for i in range(len(path)) for c in ("x", "?", "")}
    texts = sorted({path, *others, *near} - ({pattern} - {path}))
    alike = "".join("." if re.match(BREAK, c) else re.escape(c) for c in path)
    meant = [text for text in texts if text == path or re.fullmatch(alike, text, re.DOTALL)]
    found = _matching(Examples(texts), "image_path", exclusion_lines(file))
    assert [text for text, is_found in zip(texts, found, strict=True) if is_found] == meant
    assert re.search(BREAK, path) or meant == [path]


def test_what_a_person_wrote_is_kept(tmp_path):
    file = tmp_path / "x.txt"
    mine = "a/1.jpg # Anna: mask wrong, checked 3 May"
    file.write_text(f"{mine}\na/2.jpg\n")
    marks = Marks(file)
    marks.mark("a/1.jpg", "joints outside the mask", typed=False)  # of a page that was open
    assert file.read_text() == f"{mine}\na/2.jpg\n"
    marks.unmark("a/1.jpg")
    assert file.read_text() == f"# {mine}\na/2.jpg\n" and marks.reason_of("a/1.jpg") is None
    marks.mark("a/1.jpg", "joints outside the mask", typed=False)
    assert file.read_text() == f"{mine}\na/2.jpg\n"
    marks.mark("a/1.jpg", "Bert: it is right")
    assert file.read_text() == "a/1.jpg  # Bert: it is right\na/2.jpg\n"
    marks.mark("a/3.jpg", "found by itself", typed=False)
    marks.unmark("a/3.jpg")
    marks.unmark("a/2.jpg")
    assert file.read_text() == "a/1.jpg  # Bert: it is right\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", ["", "\ufeff"])
def test_the_file_stays_what_it_was(tmp_path, end, first):
    """A link to a file that several people share, with their rights and their line ends."""
    (tmp_path / "shared").mkdir()
    real, link = tmp_path / "shared" / "real.txt", tmp_path / "link.txt"
    old = f"{first}# mine{end}{end}  k/*.jpg # glob{end}b.jpg"
    real.write_bytes(old.encode())
    real.chmod(0o664)
    link.symlink_to(real)
    marks = Marks(link)
    marks.mark("a.jpg", "why", typed=False)
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o664
    assert real.read_bytes().decode() == f"{old}{end}a.jpg  # why{end}"
    assert marks.reason_of("a.jpg") == "why" and marks.reason_of("k/1.jpg") == "glob"
    marks.unmark("a.jpg")
    assert real.read_bytes().decode() == f"{old}{end}"


def test_how_many_examples_a_mark_covers():
    browsed = _Browsed(["a\nb", "a b", "axb", "axb", "c"])
    marks = Marks(None)
    assert [marks.covers(path, browsed) for path in ("a\nb", "axb", "c", "d")] == [4, 2, 1, 0]


class _Browsed(Examples):
    def find(self, path):
        """Positions of one path."""
        return np.flatnonzero(np.array(self.texts) == path)
