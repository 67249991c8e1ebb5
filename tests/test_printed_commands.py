"""Every command that a document, a help text or a message prints is one that works."""

import os
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
from commands_kit import (
    Desk,
    documents,
    in_blocks,
    in_helps,
    in_main_scripts,
    in_messages,
    in_text,
    known_options,
    options_of,
    stands_for_something,
    subcommand,
    words,
)
from conftest import ROOT
from usage_kit import posepile

# What is run by something else than this file, and by what.
ELSEWHERE = {
    r"^make (demo|test|lint)\b": ".ci/run",
    r"^make docs\b": "tests/test_docs.py",
    r"\bpip install\b|\bpip uninstall\b|-m venv|^source \S+/activate": "tests/installs.py",
    r"^posepile check aspset\b": "tests/test_checking.py",
    r"^posepile (check|report|view) gym\b": "tests/test_adding_document.py",
    r"^posepile view (.* )?--rerun\b": "tests/test_rerun_file.py",
    r"^posepile view (.* )?--fiftyone\b": "tests/test_fiftyone_set.py",
    r"^posepile new --like videos$": "tests/test_own_data_document.py",
    r"^python benchmarks/|^\.?\S*bin/python benchmarks/": "benchmarks, which measure for minutes",
}
# What would fetch real data.
FETCHES = re.compile(r"(posepile (run|step)|bash posepile/ds)\b[ /](\w+)")
# Exit codes of commands that are right to complain: in drawn figures a network finds nobody.
CODES = {
    "posepile run coco --set box.source=detect --set 'detect.model={path: net.onnx}'": 1,
}
# Documents that tests follow with what they need beside the miniatures.
FOLLOWED = {
    "docs/ADDING.md": "test_adding_document.py",
    "docs/OWN_DATA.md": "test_own_data_document.py",
}
# Datasets whose miniatures are packed on the desk.
PACKED = ("aspset", "coco", "h36m", "mpii", "tdhp", "tdhp_full")

BLOCKS = [command for path in documents() for command in in_blocks(path)]
TEXTS = [command for path in documents() for command in in_text(path)]
OTHERS = [*in_helps(), *in_main_scripts()]
DOCUMENTS = sorted({command.place for command in BLOCKS} - {*FOLLOWED})


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """DATA_ROOT with the packed miniatures."""
    data = tmp_path_factory.mktemp("desk_data")
    for name in PACKED:
        command = [sys.executable, "-m", "posepile", "run", name, "--miniature", "--quiet"]
        subprocess.run(command, env=os.environ | {"DATA_ROOT": str(data)}, check=True)
    return data


@pytest.fixture
def desk(packed, tmp_path, monkeypatch):
    """A desk of one's own, over the same packed datasets."""
    data = tmp_path / "home" / "data"
    data.parent.mkdir()
    # Hard links: what a command writes is renamed into place, and so never one of the others'.
    subprocess.run(["cp", "-al", packed, data], check=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "posepile").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m posepile "$@"\n')
    (programs / "python").symlink_to(sys.executable)
    # An array of two tasks stands for one of any number.
    (programs / "sbatch").write_text(
        "#!/bin/bash\nset -e\nexport SLURM_ARRAY_TASK_COUNT=2\n"
        'for SLURM_ARRAY_TASK_ID in 0 1; do export SLURM_ARRAY_TASK_ID; bash -c "${@: -1}"; done\n'
    )
    for program in ("posepile", "sbatch"):
        (programs / program).chmod(0o755)
    made = Desk(tmp_path / "home" / "here", data)
    for name, value in (
        ("DATA_ROOT", str(data)),
        ("HOME", str(data.parent)),
        ("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}"),
        ("PYTHON", sys.executable),
        ("PYTHONPATH", str(ROOT)),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(made.folder)
    return made


def run(desk, text, before=()):
    """Runs a line of shell on the desk: in this process if it needs no shell, which is faster."""
    desk.provide(text)
    text = without_network(text)
    if re.match(r"posepile view\b(?!.*(--png|--out|--rerun|--fiftyone))", text):
        return look_and_end(["bash", "-c", "\n".join([*before, f"exec {text}"])])
    argv = words(text)
    if argv[0] == "posepile" and not before and not set("$|;&*~<>`") & set(" ".join(argv)):
        said = posepile(*argv[1:])
        return subprocess.CompletedProcess(argv, said.code or 0, said.out, said.err)
    script = "\n".join([*before, text])
    pipes = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    return subprocess.run(["bash", "-c", script], timeout=100, **pipes)


def without_network(text):
    """Asks for a miniature in place of real data; where none is packed, for what would be done.

    Of benchmarks whose truth is not here, for what the protocol says.
    """
    named = re.match(r"posepile (eval|hygiene|duplicates|subset|view) (\w+)", text)
    if named and named[1] == "eval" and named[2] not in ("aspset", "h36m"):
        return re.sub(r"--pred-path \S+", "--explain", text)
    if named and named[1] == "view":
        return text if named[2] in PACKED else text.replace(named[2], "aspset", 1)
    if named:
        return re.sub(r"\bdozens\b", "aspset", re.sub(r" (surreal|crowdpose)\b", "", text))
    match = FETCHES.search(text)
    if not match or "--miniature" in text or not (ROOT / "posepile" / "ds" / match[3]).is_dir():
        return text
    return f"{text} --miniature{'' if match[3] in PACKED else ' --dry-run'}"


def look_and_end(command):
    """Starts the viewer, opens the address that it prints, and ends it as Ctrl-C does."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    viewer = subprocess.Popen(command, text=True, **pipes)
    try:
        said = ""
        while not (match := re.search(r"http://127\.0\.0\.1:\d+/", said)):
            line = viewer.stdout.readline()
            if not line:
                break
            said += line
        if match:
            with urlopen(match[0], timeout=20) as page:
                assert page.status == 200
        viewer.send_signal(signal.SIGINT)
        out, err = viewer.communicate(timeout=20)
    finally:
        viewer.kill()
    code = 0 if match and viewer.returncode in (0, 130) else viewer.returncode or 1
    return subprocess.CompletedProcess(command, code, said + out, err)


def is_right(text, code):
    """Whether a command has ended as it should."""
    named = re.match(r"posepile (plan|doctor) (\w+)", text)
    if named and named[2] not in PACKED:  # of data that are not here, for which room may be short
        return code in (0, 1)
    return code == CODES.get(text, 0)


def elsewhere(text):
    return next((where for pattern, where in ELSEWHERE.items() if re.search(pattern, text)), None)


def without_comment(text):
    return re.sub(r"\s+#\s.*", "", text)


def is_assignment(text):
    return bool(re.fullmatch(r"(export )?(\w+=(\"[^\"]*\"|\S*) ?)+", text))


@pytest.mark.parametrize("place", DOCUMENTS)
def test_shell_blocks_run_as_printed(desk, place):
    """In the order of the document, in one folder, as somebody does who follows it."""
    before, wrong = [], []
    for command in BLOCKS:
        if command.place != place or command.not_run or elsewhere(command.text):
            continue
        text = without_comment(command.text)
        if is_assignment(text):
            text = re.sub(r"DATA_ROOT=\S+", "", text).strip()
            text = re.sub(r"ds/\w+/main.sh", "ds/coco/main.sh --miniature", text)
            before += [text] if text != "export" else []
            continue
        done = run(desk, text, before)
        if not is_right(text, done.returncode):
            said = (done.stderr or done.stdout).strip().splitlines()[-3:]
            wrong.append(f"{text}\n    exit {done.returncode}: " + "\n    ".join(said))
    assert not wrong, "\n".join([f"{len(wrong)} of {place}:", *wrong])


def test_commands_in_sentences_and_help_texts_run(desk):
    wrong = []
    for text in dict.fromkeys(without_comment(c.text) for c in [*TEXTS, *OTHERS]):
        if stands_for_something(text) or elsewhere(text):
            continue
        done = run(desk, text)
        if not is_right(text, done.returncode):
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            wrong.append(f"{text}\n    exit {done.returncode}: " + "\n    ".join(said))
    assert not wrong, "\n".join([f"{len(wrong)}:", *wrong])


def test_what_is_told_in_general_names_options_that_exist():
    """Commands with a place for something, and those in messages."""
    wrong = []
    for command in [*BLOCKS, *TEXTS, *OTHERS, *in_messages()]:
        name = subcommand(command.text)
        if name not in (None, "eval"):  # each evaluation has its own
            own = command.text.split("|")[0]
            unknown = set(options_of(own)) - known_options(name, own)
            if unknown:
                wrong.append(f"{command.place}: {command.text}: no {', '.join(sorted(unknown))}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found():
    """The search itself: it finds what is there."""
    assert all((ROOT / "tests" / name).is_file() for name in FOLLOWED.values())
    others = [name for name in ELSEWHERE.values() if name.startswith(("tests/", "."))]
    assert all((ROOT / name).is_file() for name in others)
    assert len(BLOCKS) > 60 and len(TEXTS) > 50 and len([*in_messages()]) > 30
    assert "posepile list" in {re.sub(r"\s+#.*", "", c.text) for c in BLOCKS}
    assert known_options("model", "posepile model check x") >= {"--image", "--json"}
