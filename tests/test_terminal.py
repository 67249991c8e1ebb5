"""Names and texts of files are text: for the terminal, for the list of faults, for the page."""

import contextlib
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import barecat
import pytest
from fake_dataset import a_run, fake, process_and_pack  # noqa: F401 - a fixture
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from posepile import cli
from posepile.errors import CorruptInput, UsageError
from posepile.report import write_report
from posepile.run import commands, process
from posepile.terminal import (
    PrintableStream,
    print_lines,
    printable,
    printable_output,
    wrapped,
)

HOSTILE = "\x1b[2J\x1b]0;title\x07<script>alert(1)</script>&\u202egpj.exe\r\n\udcff\x85\u2028"


@given(st.text(alphabet=st.characters()))
def test_plain_text_is_printable_and_that_of_printable_text_is_itself(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert (printable(text) == text) == text.isprintable()


def test_plain_keeps_letters_of_every_language_and_says_the_rest_by_number():
    assert printable("Sárándi 姿勢 take 7…") == "Sárándi 姿勢 take 7…"
    assert printable("a\x1b[31m\nb\udcff\u202ec") == r"a\x1b[31m\nb\udcff\u202ec"


def test_a_message_has_an_end_whatever_a_file_holds():
    said = str(CorruptInput("a.json", f"found no K (there: {'é' * 10**5})", hint="fetch it again"))
    assert len(said) <= 2000
    assert said.startswith("a.json: found no K (there: éé")
    assert said.endswith("éé); fetch it again")
    exact = str(UsageError("x" * 2000)), str(UsageError("x" * 2001))
    assert [len(text) for text in exact] == [2000, 2000]
    assert " ... " not in exact[0] and " ... " in exact[1]


def test_errors_are_one_printable_line_whatever_the_file_is_called():
    said = str(CorruptInput(f"/raw/{HOSTILE}.c3d", "found 3 points"))
    assert said.isprintable() and said.startswith(r"/raw/\x1b[2J") and "<script>" in said
    assert str(UsageError(HOSTILE)).isprintable()


def test_output_is_plain_but_for_lines_and_progress_bars():
    below = io.StringIO()
    stream = PrintableStream(below)
    stream.write("two\nlines\tand a tab\n")
    stream.write("\r 50% of name\rforged\x1b[2J")
    stream.write("\n\n\x1b[A\x1b[A")
    assert below.getvalue() == (
        "two\nlines\tand a tab\n\r 50% of name\\rforged\\x1b[2J\n\n\x1b[A\x1b[A"
    )
    bars = io.StringIO()
    with tqdm(total=4, file=PrintableStream(bars), ascii=True) as bar:
        bar.update(4)
    assert "\\" not in bars.getvalue() and "4/4" in bars.getvalue()


def test_printed_lines_are_as_many_as_are_printed(capsys):
    print_lines(["one", "two\nthree"])
    assert capsys.readouterr().out == "one\ntwo\\nthree\n"


def test_a_terminal_that_lacks_letters_gets_escapes():
    """A locale of old clusters; Python's own answer is a UnicodeEncodeError."""
    code = (
        "from posepile.terminal import *\nwith printable_output(): print('\\u59ff \\udcff \\xfc')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"\\u59ff \\udcff \\xfc\n"


class Page(HTMLParser):
    """Notes tags; text is what a reader sees."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def hostile(fake, monkeypatch):  # noqa: F811
    """One unit of three has a fault whose text, file and reason, comes from somebody else."""
    import posepile.ds.fake.main as recipe

    load_unit = recipe.load_unit

    def load(root, unit, options):
        if unit.id == "seq1":
            name = HOSTILE.replace("/", "|").replace("\0", "")
            raise CorruptInput(root / name, f"is of {HOSTILE}", hint=HOSTILE)
        return load_unit(root, unit, options)

    monkeypatch.setattr(recipe, "load_unit", load)
    return fake


def test_a_hostile_fault_is_one_line_on_the_terminal_and_in_the_list(hostile, capfd):
    run = a_run(hostile, "run.max_quarantined=1")
    with printable_output():
        commands.process(run, process.default_stages(run.config))
    said = capfd.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "is of" in line]
    assert len(lines) == 1 and lines[0].isprintable() and "<script>" in lines[0]
    listed = (run.work / "quarantined.txt").read_text().splitlines()
    assert len(listed) == 1 and listed[0].isprintable()


def test_a_hostile_fault_is_text_in_the_report(hostile, tmp_path):
    process_and_pack(hostile, "run.max_quarantined=1")
    out = tmp_path / "report.html"
    write_report("fake", out)
    page = Page(out.read_bytes().decode("utf-8"))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>&\\u202egpj.exe" in page.text
    assert all(c.isprintable() or c in "\n" for c in page.text)


def test_the_command_line_shows_wrong_words_plainly(capfd):
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(io.StringIO()):
        cli.main(["plan", "asp\x1b[2Jset"])
    said = capfd.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and said[:-1].isprintable()


def test_a_raw_file_whose_name_is_no_utf8_is_read_and_listed(fake):  # noqa: F811
    """Names of old Windows archives; the manifest's list of inputs holds them as JSON can."""
    folder = os.fsencode(fake / "fake" / "seq1")
    os.rename(folder + b"/3.jpg", folder + b"/3\xfc.jpg")
    process_and_pack(fake)
    with barecat.Barecat(str(fake / "fake.barecat"), readonly=True) as archive:
        lines = archive["inputs.jsonl"].decode("utf-8").splitlines()
    names = [json.loads(line)[0] for line in lines]
    assert "seq1/3\udcfc.jpg" in names and names == sorted(names)


def test_prose_is_broken_between_words_and_what_is_copied_is_not():
    command = (
        "    posepile run egoexo4d --set dataset.root=/a/long/path/of/somebody/somewhere/else"
    )
    address = "https://example.org/a/very/long/address/that/does/not/fit/the/terminal-at-all.zip"
    assert wrapped(command, 40) == command
    assert address in wrapped(f"  fetch  a  1 GB  {address} and more", 40).split()
    told = wrapped("  room: about 2.3 TB at the peak, and 49.0 GB are free on the disk", 40)
    assert [line.lstrip() for line in told.split("\n")] == [
        "room: about 2.3 TB at the peak, and",
        "49.0 GB are free on the disk",
    ]
    assert wrapped(" " * 90, 40) == " " * 90
