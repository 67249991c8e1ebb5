"""Text files that people open and save again: taken, or told in one line what happened."""

import pytest

from posepile.ds.aspset.main import load_split
from posepile.errors import CorruptInput, UsageError
from posepile.formats.text_files import read_csv
from posepile.formats.yaml_files import load_yaml

GOOD = "04ac,0001,train,all\n1e28,0003,test,left\n"


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),
        GOOD.replace(",", ", ").encode(),
        GOOD.replace("\n", ",,\n").encode(),
        (GOOD + ",,,\n\n").encode(),
        b'"04ac","0001","train","all"\n"1e28","0003","test","left"\n',
    ],
)
def test_a_list_that_was_saved_again_is_the_same(tmp_path, content):
    (tmp_path / "splits.csv").write_bytes(content)
    train, val, test = load_split(tmp_path / "splits.csv")
    assert train == [("04ac", "0001", view) for view in ("left", "mid", "right")]
    assert (val, test) == ([], [("1e28", "0003", "left")])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GOOD.encode("utf-16"), "not UTF-8 text: it begins like UTF-16, as spreadsheets save"),
        (GOOD.replace("0001", "1").encode(), "line 1, clip: found '1'; expected 4 of"),
        (GOOD.replace("1e28", "1E+28").encode(), "line 2, subject: found '1E+28'; expected 4 of"),
        (GOOD.replace("0001", "../x").encode(), "line 1, clip: found '../x'; expected 4 of"),
        (GOOD.replace("0001", "٠٠٠١").encode(), "line 1, clip: found '٠٠٠١'; expected 4 of"),
        (GOOD.replace("train", "tr\0in").encode(), "line 1: found a NUL byte; expected text"),
        (
            GOOD.replace(",", ";").encode(),
            "line 1: found '04ac;0001;train;all'; expected subject,",
        ),
        (GOOD.replace("04ac", "04äc").encode("latin-1"), "not UTF-8 text: invalid continuation"),
        ((GOOD + GOOD).encode(), "found at line 1 and at line 3; expected once"),
        (b'"04ac,0001,train,all\n', "not a CSV file"),
    ],
)
def test_a_list_that_was_spoiled_is_told(tmp_path, content, expected):
    (tmp_path / "splits.csv").write_bytes(content)
    with pytest.raises(CorruptInput) as caught:
        load_split(tmp_path / "splits.csv")
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["٣", "1_0", "²", "1e3x", "", "1" * 5000])
@pytest.mark.parametrize("kind", [int, float])
def test_numbers_in_tables_are_plain_digits(tmp_path, kind, text):
    (tmp_path / "a.csv").write_text(f"n,m\n{text},1\n")
    with pytest.raises(CorruptInput, match="line 2, column n: found"):
        read_csv(tmp_path / "a.csv", {"n": kind})


def test_yaml_may_begin_with_a_mark_and_says_what_it_is_not(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert load_yaml(file) == {"a": 1}
    for content in (
        "a: 1".encode("utf-16"),
        b"a: 2026-99-99",
        b"a: \0",
        b"a: 1\na: 2",
        b"[" * 5000,
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            load_yaml(file)
        assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_1350_missing_clips_are_a_handful_of_lines(tmp_path):
    from posepile.run.faults import fault_lines

    errors = [
        {
            "file": f"/raw/{i // 30:04x}-{i % 30:04d}-left.mkv",
            "frame": None,
            "reason": "is missing",
        }
        for i in range(1350)
    ]
    lines = fault_lines(errors, tmp_path, tmp_path / "quarantined.txt")
    assert len(lines) == 2 and lines[0].startswith("1350 x is missing")
