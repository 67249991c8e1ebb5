"""What programs, shells and terminals get of the command line, beside the work itself."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from posepile import cli, terminal
from posepile.cli import completion, help, make_parser
from posepile.run.active import active_runs, noted
from posepile.run.job import make_run
from posepile.run.status import status_data, status_lines
from posepile.terminal import PrintableStream, paint, print_json, printable_output

# Commands that work, ask a person, or print a script.
WITHOUT_JSON = {"", "run", "step", "completion", "model", "view"}


def posepile(capsys, *words):
    """Exit code, output and errors of a command, in this process."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


@pytest.fixture
def packed(miniature, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(miniature("coco")))
    return miniature("coco")


class Terminal:
    """A stream that says that it is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def isatty(self):
        return True

    def flush(self):
        pass


# ---------------------------------------------------------------- for programs


def test_every_command_that_prints_facts_has_json():
    commands = completion.commands_of(make_parser())
    without = {c.path for c in commands if not any("--json" in o.names for o in c.options)}
    assert without <= WITHOUT_JSON


@pytest.mark.parametrize(
    "command",
    [
        *("list", "plan coco", "doctor coco", "status coco", "report coco --out {tmp}/r.html"),
        *(
            "verify coco",
            "duplicates coco",
            "hygiene coco",
            "skeleton coco",
            "merge",
            "model list",
        ),
        *("eval", "eval coco --explain", "export coco --to labels --out {tmp}/l.npz"),
        *("new gym --like coco --at {tmp}",),
    ],
)
def test_json_is_one_document_and_nothing_else(packed, tmp_path, capsys, command):
    code, out, _ = posepile(capsys, *command.format(tmp=tmp_path).split(), "--json")
    assert code == 0 and isinstance(json.loads(out), (dict, list))


def test_an_error_leaves_the_output_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    code, out, err = posepile(capsys, "verify", "coco", "--json")
    assert (code, out) == (1, "") and "nothing there yet" in err


def test_what_is_printed_in_another_way_is_no_part_of_the_document(capsys):
    with printable_output(), terminal.kept_for_json():
        print("a note")
        with terminal.kept_for_json():  # as an evaluation has, below the command
            print_json({"a": float("nan"), "b": {2, 1}, "c": "\udcff\x1b[2J"})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"a": None, "b": [1, 2], "c": "\udcff\x1b[2J"}
    assert said.out.isascii() and "\x1b" not in said.out and said.err == "a note\n"


# ---------------------------------------------------------------- for terminals


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_where_they_are_wanted(monkeypatch, variables, wanted):
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    below = Terminal()
    stream = PrintableStream(below)
    stream.write(f"it is {paint('there', 'good', stream)}\n")
    assert below.text == ("it is \x1b[32mthere\x1b[0m\n" if wanted else "it is there\n")


def test_no_text_of_a_file_gets_a_colour(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    below = Terminal()
    stream = PrintableStream(below)
    for forged in ("\x1b[31mred", "[0123456789abcdef:31]red"):
        stream.write(paint(forged, "bad", stream))
    assert re.findall("\x1b\\[[0-9]*m", below.text) == ["\x1b[31m", "\x1b[0m"] * 2
    assert r"\x1b[31mred" in below.text and "[0123456789abcdef:31]red" in below.text


def test_nothing_is_coloured_that_goes_into_a_file(packed, capsys):
    for command in ("list coco", "status coco", "doctor coco", "plan asppset"):
        _, out, err = posepile(capsys, *command.split())
        assert "\x1b" not in out + err


# ---------------------------------------------------------------- what is said


def test_a_log_keeps_whole_lines_with_their_time_and_no_bars(tmp_path, capsys):
    file = tmp_path / "logs" / "a.log"
    for words in (["--log", file, "model", "list"], ["plan", "asppset", "--log", file]):
        posepile(capsys, *words)
    with printable_output(), terminal.logged(file):
        print("\r 50%", end="", file=sys.stderr)
        print("\r100%", end="\n", file=sys.stderr)
        print("half ", end="")
        print("a line", "\x1b[2J")
    lines = file.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \S", line) for line in lines)
    said = [line.split(" ", 1)[1] for line in lines]
    assert said[0].startswith("posepile --log ") and "exit 0" in said
    assert "posepile: unknown dataset 'asppset' (did you mean aspset?)" in said[-3]
    assert said[-2:] == ["exit 2", r"half a line \x1b[2J"]


def test_lines_of_processes_that_write_at_once_are_whole(tmp_path):
    file = tmp_path / "a.log"
    code = (
        "import sys\nfrom posepile.terminal import *\n"
        "with printable_output(), logged(sys.argv[1]):\n"
        "    for i in range(300): print(sys.argv[2] * 50)\n"
    )
    command = [sys.executable, "-c", code, file]
    many = [subprocess.Popen([*command, c], stdout=subprocess.DEVNULL, cwd=ROOT) for c in "abc"]
    assert [process.wait() for process in many] == [0, 0, 0]
    lines = [line.split(" ")[1] for line in file.read_text().splitlines()]
    assert len(lines) == 900 and set(lines) == {c * 50 for c in "abc"}


@pytest.mark.parametrize("place", ["/proc/none/x.log", "{tmp}"])
def test_a_log_that_cannot_be_written_is_a_wrong_request(tmp_path, capsys, place):
    code, out, err = posepile(capsys, "model", "list", "--log", place.format(tmp=tmp_path))
    assert (code, out, len(err.splitlines())) == (2, "", 1) and "--log" in err


def test_debug_says_where_an_error_comes_from(capsys):
    _, _, short = posepile(capsys, "plan", "asppset")
    code, _, long = posepile(capsys, "plan", "asppset", "--debug")
    assert code == 2 and short.count("\n") == 1
    assert "in dataset_dir" in long and long.endswith(short)


def test_the_version_is_said(capsys):
    code, out, _ = posepile(capsys, "--version")
    assert code == 0 and re.match(r"posepile \d+\.\d+\S* \(Python \d", out)


# ---------------------------------------------------------------- help and mistakes


def test_help_has_every_command_in_one_group():
    grouped = [command for commands in help.GROUPS.values() for command in commands]
    known = [c.path for c in completion.commands_of(make_parser()) if c.path and " " not in c.path]
    assert sorted(grouped) == sorted(known)


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_help_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = make_parser().format_help().splitlines()
    assert max(len(line) for line in lines if "posepile" not in line) <= int(columns)


def test_examples_are_of_commands_and_can_be_read(capsys):
    known = {c.path for c in completion.commands_of(make_parser())}
    assert help.EXAMPLES.keys() <= known
    for command, lines in help.EXAMPLES.items():
        for line in lines:
            assert line.startswith(f"posepile {command}".strip())
    code, out, _ = posepile(capsys, "list", "--help")
    assert code == 0 and f"examples:\n  {help.EXAMPLES['list'][0]}\n" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("stauts aspset", "did you mean status?"),
        ("aspset", "is a dataset; a command comes first, e.g. posepile plan aspset"),
        ("plan asppset", "did you mean aspset?); posepile list shows all"),
        ("plan Ego-Exo4D", "did you mean egoexo4d?); posepile list shows all"),
        ("run aspset --stage corp", "did you mean crop?"),
        ("plan aspset --jsn", "did you mean --json?"),
        ("model chek x", "did you mean check?"),
    ],
)
def test_what_is_nearly_right_is_suggested(capsys, words, expected):
    code, _, err = posepile(capsys, *words.split())
    assert code == 2 and expected in err and len(err.splitlines()) == 1


# ---------------------------------------------------------------- completion


def completed(folder, *words):
    """What bash offers for the last word."""
    script = folder / "posepile.bash"
    if not script.exists():
        script.write_text("\n".join(completion.script("bash", make_parser())) + "\n")
    code = (
        f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _posepile; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", "posepile", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_values_datasets_and_files(tmp_path):
    (tmp_path / "net.onnx").touch()
    for words, expected in (
        (["mer"], {"merge"}),
        (["run", "asp"], {"aspset"}),
        (["run", "aspset", "--sta"], {"--stage"}),
        (["--log", "x", "run", "aspset", "--stage", "cr"], {"crop"}),
        (["model", "che"], {"check"}),
        (["model", "check", "ne"], {"net.onnx"}),
        (["model", "check", "--deb"], {"--debug"}),
        (["skeleton", "--json", "h3"], {"h36m"}),
        (["run", "aspset", "--set", "a"], set()),
    ):
        assert set(completed(tmp_path, *words)) == expected, words


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_scripts_are_right_for_their_shell(tmp_path, capsys, shell):
    code, out, _ = posepile(capsys, "completion", shell)
    assert code == 0
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(out)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True, cwd=tmp_path)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path):
    script = tmp_path / "posepile.fish"
    script.write_text("\n".join(completion.script("fish", make_parser())))
    for line, expected in (("posepile run aspset --stage cr", "crop"), ("posepile mer", "merge")):
        code = f"source {script}; complete -C '{line}'"
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(
            ["fish", "--no-config", "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert [x.split("\t")[0] for x in done.stdout.splitlines()] == [expected]


# ---------------------------------------------------------------- list and status


def rows(capsys, *words):
    code, out, _ = posepile(capsys, "list", "--json", *words)
    return code, {row["name"]: row for row in json.loads(out)}


def test_list_says_what_a_dataset_asks_for_and_what_is_here(packed, capsys):
    code, found = rows(capsys)
    assert code == 0 and found["coco"]["state"] == "packed" and found["coco"]["miniature"]
    assert found["coco"]["counts"] == {"train": 2, "val": 2, "test": 0}
    assert found["coco"]["access"] == "open" and found["coco"]["bytes"] > 1e10
    assert found["h36m"]["state"] == "-" and found["h36m"]["access"] == "by hand"
    _, out, _ = posepile(capsys, "list", "coco", "h36m")
    assert [line.split()[0] for line in out.splitlines()] == ["coco", "h36m"]
    assert "miniature" in out.splitlines()[0] and "GB" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        (["--here"], {"coco"}, {"mpii"}),
        (["--open", "--kind", "2d"], {"coco", "mpii"}, {"aspset", "aic"}),
        (["coco*"], {"coco", "coco_wholebody"}, {"mpii"}),
        (["--licence", "cc by"], {"coco"}, {"h36m"}),
    ],
)
def test_list_can_be_narrowed(packed, capsys, words, there, not_there):
    names = set(rows(capsys, *words)[1])
    assert there <= names and not names & not_there


def test_list_names_what_is_outdated_and_what_is_made_of_others(
    packed, tmp_path, monkeypatch, capsys
):
    root = tmp_path / "data"
    shutil.copytree(packed, root)
    monkeypatch.setenv("DATA_ROOT", str(root))
    assert posepile(capsys, "subset", "coco", "--out", "tiny", "--n", "1")[0] == 0
    manifest = root / "coco.barecat.manifest.json"
    facts = json.loads(manifest.read_text())
    facts["config"]["crop"]["jpeg_quality"] = 12
    manifest.write_text(json.dumps(facts))
    _, found = rows(capsys, "--here")
    assert found["coco"]["state"] == "outdated"
    assert found["coco"]["outdated"] == ["crop.jpeg_quality"]
    assert {found[name]["kind"] for name in found if name != "coco"} == {"subset"}
    manifest.write_text("{")
    assert rows(capsys, "coco")[1]["coco"]["state"] == "outdated"


def test_status_knows_of_a_run_elsewhere(packed, tmp_path, monkeypatch, capsys):
    root = tmp_path / "data"
    shutil.copytree(packed, root)
    monkeypatch.setenv("DATA_ROOT", str(root))
    run, other = make_run("coco"), make_run("coco", ("crop.jpeg_quality=80",))
    assert status_data(run)["active"] == []
    with noted(other, "units", run.work):
        code, out, _ = posepile(capsys, "status", "coco")
        first, second = out.splitlines()[:2]
        assert code == 0 and first.endswith("under --set crop.jpeg_quality=80")
        assert f"works on units, process {os.getpid()}, for 0 s" in second
        assert "to be made again" in out and "next" not in out
    _, out, _ = posepile(capsys, "status", "coco")
    assert "active" not in out and "under" not in out
    with noted(other, "run", run.work), noted(other, "units", run.work):
        ((what, pid),) = [(note["what"], note["pid"]) for note in active_runs(run)]
        assert (what, pid) == ("units", os.getpid())
        (note,) = run.work.glob(".active-*-units")
        text = note.read_text()
    note.write_text(text.replace(f'"pid": {os.getpid()}', '"pid": 1'))  # one that was killed
    assert active_runs(run) == []
    note.write_text(text.replace('"host": "', '"host": "elsewhere'))
    assert not active_runs(run)[0]["checked"]
    for damaged in ("", "{}", "[]", '{"since": "now"}'):
        note.write_text(damaged)
        assert active_runs(run) == []
    with noted(other, "pack", run.work):
        assert not note.exists()  # whoever comes next tidies up
    lines = status_lines(run, status_data(run))
    assert len(lines) <= 8


def test_status_is_short(packed, capsys):
    code, out, _ = posepile(capsys, "status", "coco")
    assert code == 0 and len(out.splitlines()) <= 6
    code, out, _ = posepile(capsys, "status", "coco", "--json", "--watch")
    assert code == 2


def test_the_bare_command_shows_what_there_is(capsys):
    code, out, err = posepile(capsys)
    assert (code, out) == (2, "") and err == make_parser().format_help()
