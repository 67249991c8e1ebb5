"""What a person can write wrongly on a command line or in the environment: one line each.

Every row is a command, what is in the environment, the exit code, and words of the one line.
"""

import os

import pytest
import usage_kit
from usage_kit import posepile

mini, packed_mini = usage_kit.mini, usage_kit.packed_mini  # the fixtures

DRY = "run mini --quiet --dry-run"
HUGE = "9" * 5000


def words(command):
    return command.split() if isinstance(command, str) else list(command)


def check_one_line(said, code, phrase):
    assert (said.code, len(said.lines)) == (code, 1), said
    assert phrase in said.err and len(said.err) < 1500
    assert "Traceback" not in said.out + said.err


# ---------------------------------------------------------------- numbers

NOT_DIGITS = ["٣", "²", "1_0", "1e3", "4.5", "+3", " 3", "3\n", "0x3", "", "x", HUGE]


@pytest.mark.parametrize("text", [*NOT_DIGITS, "0", "-1"])
@pytest.mark.parametrize(
    ("command", "option", "expected"),
    [
        (DRY, "--jobs", "expected a number, at least 1"),
        ("check mini", "--seed", "expected a number from 0 on"),
        ("view mini --out v.png", "--index", "expected a position"),
    ],
)
def test_numbers_are_plain_digits(mini, command, option, expected, text):
    if (text == "0" and option != "--jobs") or (text == "-1" and option == "--index"):
        pytest.skip("is allowed")
    said = posepile(*words(command), f"{option}={text}")
    check_one_line(said, 2, f"argument {option}: found {text[:20]!r}"[:-1])
    assert expected in said.err


@pytest.mark.parametrize(
    "text",
    [
        *"1/0 5/4 4/4 0/0 ٣/٤ ²/3 0/³ 0 / 1/ /1 1/2/3 -1/2 0/-2 1_0/20 a/b 1.0/4 +0/4".split(),
        *("0/1e3", " 0/2", "0/2\n", "", f"0/{HUGE}", "0 / 4"),
    ],
)
def test_shards_are_two_numbers(mini, text):
    said = posepile(*words(DRY), f"--shard={text}")
    check_one_line(said, 2, f"argument --shard: found {text[:20]!r}"[:-1])
    assert "expected I/N with 0 <= I < N, e.g. 0/8" in said.err


SLURM = [
    ({"ID": "x", "COUNT": "2"}, "SLURM_ARRAY_TASK_ID = 'x': expected a number"),
    ({"ID": " ", "COUNT": "2"}, "SLURM_ARRAY_TASK_ID = ' ': expected a number"),
    ({"ID": "٣", "COUNT": "9"}, "SLURM_ARRAY_TASK_ID = '٣': expected a number"),
    ({"ID": "²", "COUNT": "9"}, "SLURM_ARRAY_TASK_ID = '²': expected a number"),
    ({"ID": "-1", "COUNT": "3"}, "SLURM_ARRAY_TASK_ID = '-1': expected a number"),
    ({"ID": "1_0", "COUNT": "30"}, "SLURM_ARRAY_TASK_ID = '1_0': expected a number"),
    ({"ID": HUGE, "COUNT": "3"}, "SLURM_ARRAY_TASK_ID = '999"),
    ({"ID": "1"}, "SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not"),
    ({"ID": "1", "COUNT": ""}, "SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not"),
    ({"ID": "1", "COUNT": "1e3"}, "SLURM_ARRAY_TASK_COUNT = '1e3': expected a number"),
    ({"ID": "1", "COUNT": "-3"}, "SLURM_ARRAY_TASK_COUNT = '-3': expected a number"),
    ({"ID": "0", "COUNT": "0"}, "ID = 0, SLURM_ARRAY_TASK_COUNT = 0: expected tasks numbered"),
    ({"ID": "9", "COUNT": "3"}, "ID = 9, SLURM_ARRAY_TASK_COUNT = 3: expected tasks numbered"),
    ({"ID": "1", "COUNT": "3", "MIN": ""}, "SLURM_ARRAY_TASK_MIN = '': expected a number"),
    ({"ID": "1", "COUNT": "3", "MIN": "5"}, "SLURM_ARRAY_TASK_MIN = 5: expected tasks numbered"),
    ({"ID": "1", "COUNT": "3", "STEP": "x"}, "SLURM_ARRAY_TASK_STEP = 'x': expected a number"),
    ({"ID": "1", "COUNT": "3", "STEP": "2"}, "SLURM_ARRAY_TASK_STEP = 2: expected tasks"),
    ({"ID": "1", "COUNT": "3", "STEP": "0"}, "SLURM_ARRAY_TASK_STEP = 0: expected tasks"),
    ({"ID": "1", "COUNT": "3", "MAX": "7"}, "SLURM_ARRAY_TASK_MAX = 7: expected tasks numbered"),
    ({"ID": "1", "COUNT": "3", "MAX": "x"}, "SLURM_ARRAY_TASK_MAX = 'x': expected a number"),
]


@pytest.mark.parametrize(("variables", "expected"), SLURM)
def test_variables_of_slurm_are_numbers_that_agree(mini, monkeypatch, variables, expected):
    for end, value in variables.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{end}", value)
    check_one_line(posepile(*words(DRY)), 2, expected)


@pytest.mark.parametrize(
    "variables",
    [
        {"ID": "", "COUNT": "3"},
        {"COUNT": "3"},
        {"ID": "2", "COUNT": "3", "MIN": "0", "MAX": "2", "STEP": "1"},
        {"ID": "7", "COUNT": "3", "MIN": "5", "MAX": "7", "STEP": "1"},
        {"ID": "4", "COUNT": "3", "MIN": "0", "MAX": "4", "STEP": "2"},
    ],
)
def test_what_slurm_sets_is_taken(mini, monkeypatch, variables):
    for end, value in variables.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{end}", value)
    said = posepile(*words(DRY))
    assert said.code == 0
    assert ("1 unit:" if variables.get("ID") else "3 units:") in said.out


# ---------------------------------------------------------------- words and settings

WORDS = [
    ("run mini --jbos 3", "unrecognized arguments: --jbos 3 (did you mean --jobs?)"),
    ("run mini --mini-ature", "did you mean --miniature?"),
    ("view mini --indx=3", "did you mean --index?"),
    ("view mini --zzz", "posepile view: unrecognized arguments: --zzz; posepile view --help"),
    ("run mini extra", "unrecognized arguments: extra"),
    ("rnu mini", "invalid choice: 'rnu'"),
    ("step mini proces", "invalid choice: 'proces'"),
    ("run mini --stage corp", "invalid choice: 'corp'"),
    ("view mini --split trian", "invalid choice: 'trian'"),
    ("export mini --to x", "invalid choice: 'x'"),
    ("run", "required: DATASET"),
    ("status minni", "unknown dataset 'minni' (did you mean mini?)"),
    (["status", ""], "unknown dataset ''"),
    (["status", "../mini"], "unknown dataset '../mini'"),
    (["status", "mini\x1b[2J"], r"unknown dataset 'mini\x1b[2J'"),
    (["status", "\udc80"], r"unknown dataset '\udc80'"),
    (["status", "a" * 5000], "unknown dataset 'aaaa"),
    ("status mini@foo", "mini@foo: no such variant of mini; there is none; posepile run mini@foo"),
    ("status mini --variant foo", "no such variant of mini"),
    ("status mini@", "--variant : expected letters"),
    ("status mini@a@b", "--variant a@b: expected letters"),
    ("run mini --dry-run --variant ../x", "--variant ../x: expected letters"),
    ("verify mini@../x", "--variant ../x: expected letters"),
    (["view", "mini", "--variant", "v" * 200], "expected letters"),
    ("run mini --quiet --dry-run --only zzz", "--only zzz: no unit of mini has such an id"),
    (["run", "mini", "--quiet", "--dry-run", "--only", ""], "no unit of mini has such an id"),
    (["run", "mini", "--quiet", "--dry-run", "--only", "\udc80"], "no unit of mini has such"),
    (["run", "mini", "--quiet", "--dry-run", "--only", "[" * 400], "no unit of mini has such"),
    ("run mini@foo --quiet --only zzz", "--only zzz: no unit of mini has such an id"),
]


@pytest.mark.parametrize(("command", "expected"), WORDS)
def test_words_that_nobody_knows_are_said_in_one_line(mini, command, expected):
    before = sorted(mini.parent.rglob("*"))
    check_one_line(posepile(*words(command)), 2, expected)
    assert sorted(mini.parent.rglob("*")) == before  # nothing is made of a mistaken name


def test_a_dry_run_of_a_new_variant_leaves_nothing(mini):
    before = sorted(mini.rglob("*"))
    assert posepile(*words(DRY), "--variant", "dense").code == 0
    assert sorted(mini.rglob("*")) == before


SETTINGS = [
    ("dataset.root=[]", "dataset.root = []: expected a folder"),
    ("dataset.root=5", "dataset.root = 5: expected a folder"),
    ("dataset.root=true", "dataset.root = True: expected a folder"),
    ("dataset.root={a: 1}", "dataset.root = {'a': 1}: expected a folder"),
    ("dataset.root=''", "dataset.root = '': expected a folder"),
    (r'dataset.root="a\0b"', "expected a folder"),
    ("dataset.root=~nobody.of.this.name/x", "dataset.root = '~nobody.of.this.name/x': Could not"),
    ("dataset.root={file}", "is no folder; name the one that holds the raw files"),
    ("dataset.root={loop}", "Too many levels of symbolic links"),
    (f"dataset.root={'a' * 300}", "File name too long"),
    ("dataset=5", "dataset = 5 is not allowed: expected a mapping"),
    ("dataset.stride=x", "dataset.stride = 'x' is not allowed"),
    ("dataset.stride=٣", "dataset.stride = '٣' is not allowed"),
    ("dataset.stride=.nan", "dataset.stride = nan is not allowed"),
    ("run.max_memory=.nan", "run.max_memory = nan is not allowed"),
    ("run.max_memory=.inf", "run.max_memory = inf is not allowed"),
    ("run.max_memory=1e400", "run.max_memory"),
    ("run.max_idle_minutes=.inf", "run.max_idle_minutes = inf is not allowed"),
    ("run.max_quarantined=.nan", "run.max_quarantined = nan is not allowed"),
    ("select.threshold_mm=.inf", "select.threshold_mm = inf is not allowed"),
    ("select.method=[", "the value is not valid YAML"),
    ("select.method=2026-99-99", "the value is not valid YAML"),
    ("select.method=!!python/object:os.system x", "the value is not valid YAML"),
    ("select.=5", "unknown key select."),
    (".x=5", "unknown key"),
    ("=5", "--set =5: expected section.key=value"),
    ("a", "--set a: expected section.key=value"),
    ("crop=", "crop = None is not allowed"),
    ("crop.jpeg_quality=true", "crop.jpeg_quality = true or false is not allowed"),
    ("run.isolate=maybe", "run.isolate = 'maybe' is not allowed"),
    ("\udc80=1", "is not allowed"),
]


@pytest.mark.parametrize(("setting", "expected"), SETTINGS)
def test_settings_of_wrong_kinds_are_said_in_one_line(mini, tmp_path, setting, expected):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "loop"):
        setting = setting.replace(f"{{{name}}}", str(tmp_path / name))
    said = posepile(*words(DRY), "--set", setting)
    check_one_line(said, 2, expected)


# ---------------------------------------------------------------- files and folders

PLACES = [
    ("status mini --config {file}", "expected a mapping of sections, found str"),
    ("status mini --config {folder}", "cannot be read: Is a directory"),
    ("status mini --config {loop}", "cannot be read: Too many levels of symbolic links"),
    ("status mini --config {pipe}", "cannot be read: is a pipe, expected a file"),
    ("status mini --config /dev/zero", "cannot be read: is a device, expected a file"),
    ("status mini --config {nowhere}", "no such configuration file"),
    ("view mini --out {folder}", "is a folder; name a file in it"),
    ("view mini --out {nowhere}.gif.exe", "expected .png or .jpg"),
    ("view mini --out {file}/x.png", "nothing can be written to"),
    ("report mini --out {pipe}", "is there and no file; name another place"),
    ("report mini --out {loop}", "is there and no file; name another place"),
    ("export mini --to upstream --out {pipe}", "is there and no file; name another place"),
    ("export mini --to upstream --out {folder}", "is a folder; name a file in it"),
    ("new mine --like coco --at {file}", "is no folder"),
    ("new mini --like coco --at {folder}", "there is a dataset mini already"),
    ("new Mine --like coco --at {folder}", "cannot name a dataset"),
    ("new class --like coco --at {folder}", "is a word of Python"),
    ("new ../mine --like coco --at {folder}", "cannot name a dataset"),
]


@pytest.fixture
def places(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    names = ("file", "folder", "loop", "pipe", "nowhere")
    return {name: tmp_path / name for name in names}


@pytest.mark.parametrize(("command", "expected"), PLACES)
def test_places_of_wrong_kinds_are_said_in_one_line(mini, places, command, expected):
    argv = [word.format(**places) for word in command.split()]
    check_one_line(posepile(*argv), 2, expected)
    assert places["pipe"].is_fifo() and places["loop"].is_symlink()


LOOKING = ["status", "doctor", "verify", "view", "report", "export --to upstream", "run --dry-run"]


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "environment variable DATA_ROOT: not set"),
        ("{file}", "DATA_ROOT = {file}: is not a folder"),
        ("{loop}", "DATA_ROOT = {loop}: is not a folder"),
        ("{pipe}", "DATA_ROOT = {pipe}: is not a folder"),
        ("{nowhere}/x", "DATA_ROOT = {nowhere}/x: no such folder; make it or set another"),
        ("{file}/x", "DATA_ROOT = {file}/x: no such folder; make it or set another"),
    ],
)
def test_data_root_is_a_folder(mini, places, monkeypatch, command, value, expected):
    monkeypatch.setenv("DATA_ROOT", value.format(**places))
    first, *more = command.split()
    check_one_line(posepile(first, "mini", *more), 2, expected.format(**places))


@pytest.mark.parametrize("value", ["{file}", "{file}/x", "{loop}", "{pipe}"])
def test_the_folder_of_pickles_is_looked_at_before_the_work(mini, places, monkeypatch, value):
    monkeypatch.setenv("CACHE_DIR", value.format(**places))
    check_one_line(posepile("run", "mini", "--quiet"), 2, "is no folder; set another")


@pytest.mark.parametrize("value", ["{file}", "{nowhere}", "{loop}", "{pipe}", "x" * 5000])
def test_folders_of_datasets_that_are_not_there_are_named(mini, places, monkeypatch, value):
    monkeypatch.setenv("POSEPILE_DATASETS", value.format(**places))
    said = posepile("status", "mini")
    assert (said.code, len(said.lines)) == (2, 1) and "which is no folder" in said.err
    said = posepile("list")
    assert said.code == 0 and len(said.lines) == 1 and "is no folder" in said.err
