"""The command line: what a user can get wrong is one line and exit 2, never a traceback."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from posepile import paths
from posepile.cli import main, make_parser, options
from posepile.ds.aspset import eval
from posepile.errors import PosePileError, UsageError, WorkError
from posepile.files import leaving_nothing_empty
from posepile.miniature import TRUTH


def posepile(*args, env=None, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "posepile", *args],
        env={k: v for k, v in os.environ.items() if k != "DATA_ROOT"} | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["run", "aspset"], "DATA_ROOT"),
        (["run", "asppset"], "did you mean aspset?"),
        (["run", "aspset", "--set", "crop.jpeg_qality=90"], "did you mean jpeg_quality?"),
        (["run", "aspset", "--set", "crop.jpeg_quality=900"], "crop.jpeg_quality = 900"),
        (["run", "aspset", "--set", "crop"], "section.key=value"),
        (["run", "aspset", "--set", "nosuch.key=1"], "unknown key nosuch"),
        (["run", "aspset", "--config", "/nonexistent.yaml"], "no such configuration file"),
        (["run", "aspset", "--stage", "crop", "--from", "crop"], "exclude each other"),
        (["view", "nosuch"], "unknown dataset"),
        (["status", "aspset"], "DATA_ROOT"),
        (["run"], "required: DATASET"),
        (["run", "aspset", "--jobs", "none"], "expected a number, at least 1"),
        (["run", "aspset", "--nosuch"], "unrecognized arguments: --nosuch"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(args, expected):
    done = posepile(*args)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert expected in done.stderr


@pytest.mark.parametrize(
    "command",
    ["status", "doctor", "verify", "view", "report", "export --to upstream", "run --stage crop"],
)
def test_nothing_there_yet_is_said_in_one_way(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    first, *more = command.split()
    args = make_parser().parse_args([first, "aspset", *more])
    try:
        code = args.function(args)
    except PosePileError as e:
        code = e.exit_code
        print(e)
    assert code == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "aspset;" in line]
    assert f"{tmp_path}/aspset" in line and "nothing there yet: no " in line
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_says_as_well_that_nothing_is_there_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert eval.main(["--pred-path", str(tmp_path)]) == 1
    assert "nothing there yet: no raw data of aspset" in capsys.readouterr().err


@pytest.mark.parametrize("root", ["typo/raw", "empty", "other"])
@pytest.mark.parametrize("more", [(), ("--variant", "x")])
def test_a_failed_run_of_a_wrong_folder_leaves_nothing(tmp_path, monkeypatch, root, more):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    for folder in ("data", "empty", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "other" / "notes.txt").write_text("of something else")
    before = sorted(tmp_path.rglob("*"))
    chosen = f"dataset.root={tmp_path / root}"
    command = ["run", "aspset", "--from", "calibrate", "--set", chosen, *more]
    args = make_parser().parse_args(command)
    with pytest.raises(WorkError):
        args.function(args)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_failed_run_has_made_stays(tmp_path):
    def fail(content):
        with leaving_nothing_empty([tmp_path / "new" / "raw"]):
            folder = tmp_path / "new" / "raw" / "archives"
            folder.mkdir(parents=True)
            (folder / ".lock").touch()
            (folder / "a.zip").write_bytes(content)
            raise KeyboardInterrupt

    for content in (b"", b"half of it"):
        with pytest.raises(KeyboardInterrupt):
            fail(content)
        assert (tmp_path / "new").exists() == bool(content)


@pytest.mark.parametrize(
    "args",
    [
        ["new", "mine", "--like", "coco", "--at"],
        ["check", "coco", "--keep"],
        ["view", "coco", "--out"],
        ["report", "coco", "--out"],
        ["export", "coco", "--to", "upstream", "--out"],
    ],
)
def test_places_that_cannot_be_written_are_wrong_requests(args, tmp_path, monkeypatch, capsys):
    """As are pictures in a format that there is not; what was asked for is not begun."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    paths.archive_path("coco").write_bytes(b"")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder.png").mkdir()
    places = ["/proc/foo", "/dev/null/x", tmp_path / "file" / "x" / "y", "/proc/self/x.png"]
    places += ["view.txt", "view"] if args[0] == "view" else []
    places += [tmp_path / "folder.png"] if args[-1] == "--out" else []
    for place in places:
        with pytest.raises(SystemExit) as end:
            main([*args, str(place)])
        said = capsys.readouterr()
        assert end.value.code == 2 and args[-1] in said.err and str(place)[:9] in said.err
        assert len(said.err.splitlines()) == 1 and not said.out
    assert (tmp_path / "file").read_text() == "precious"


def test_the_plan_of_a_miniature_fetches_nothing(tmp_path):
    (tmp_path / "panoptic").mkdir()
    env = {"DATA_ROOT": str(tmp_path)}
    done = posepile("plan", "panoptic", env=env)
    assert "http://domedb" in done.stdout
    of = "0 on disk, 50.8 MB to get and 2174 more whose size is known once they are fetched"
    assert of in done.stdout
    (tmp_path / "panoptic" / TRUTH).write_text("{}")
    done = posepile("plan", "panoptic", env=env)
    assert done.returncode == 0 and "http" not in done.stdout
    assert "the miniature" in done.stdout and "another DATA_ROOT" in done.stdout


def test_no_raw_data_is_failed_work(tmp_path):
    done = posepile("run", "aspset", "--stage", "crop", env={"DATA_ROOT": str(tmp_path)})
    assert done.returncode == 1
    assert "no raw data" in done.stderr
    assert "Traceback" not in done.stderr


def test_miniature_never_touches_real_data(tmp_path):
    precious = tmp_path / "aspset" / "splits.csv"
    precious.parent.mkdir()
    precious.write_text("04ac,0001,train,all\n")
    done = posepile("run", "aspset", "--miniature", env={"DATA_ROOT": str(tmp_path)})
    assert done.returncode == 2
    assert "not a miniature" in done.stderr
    assert precious.read_text() == "04ac,0001,train,all\n"


def test_list_names_every_dataset():
    from posepile.ds import dataset_names

    done = posepile("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == dataset_names()


def test_a_dry_run_does_nothing(miniature, tmp_path):
    shutil.copytree(miniature("aspset") / "aspset", tmp_path / "aspset")
    env = {"DATA_ROOT": str(tmp_path)}
    options = ("--miniature", "--dry-run", "--variant", "dense", "--set", "crop.jpeg_quality=90")
    done = posepile("run", "aspset", *options, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "aspset@dense: crop: 7 units: 7 to do, 0 current"
    made = {p.name for p in tmp_path.rglob("*")} - {
        p.name for p in (tmp_path / "aspset").rglob("*")
    }
    assert made == {"aspset"}


def test_every_command_knows_variants(miniature, tmp_path, run_main):
    root = tmp_path
    shutil.copytree(miniature("coco") / "coco", root / "coco")
    env = {"DATA_ROOT": str(root)}
    options = ("--miniature", "--variant", "low", "--set", "crop.jpeg_quality=50")
    run_main("coco", root, *options)
    assert {p.name for p in root.glob("coco*.barecat")} == {"coco@low.barecat"}
    run_main("coco", root, "--miniature", "--variant", "low")  # remembers its settings
    for command in (
        ("status", "coco", "--variant", "low"),
        ("status", "coco@low"),
        ("verify", "coco@low"),
        ("report", "coco", "--variant", "low"),
        ("view", "coco@low", "--out", str(root / "v.png")),
        ("export", "coco@low", "--to", "upstream"),
        ("plan", "coco@low"),
    ):
        done = posepile(*command, env=env)
        assert done.returncode == 0, done.stderr
        if command[0] == "status":
            assert "made under another configuration" not in done.stdout
            assert "coco@low.barecat" in done.stdout
    assert (root / "coco@low_upstream.barecat").is_file()
    assert (root / "coco@low_work" / "report.html").is_file()
    for command in ("verify", "view", "export"):
        extra = ("--to", "upstream") if command == "export" else ()
        done = posepile(command, "coco", *extra, env=env)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr


def test_slurm_numbers(monkeypatch):
    assert options.slurm_shard() is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(UsageError, match="SLURM_ARRAY_TASK_COUNT"):
        options.slurm_shard()
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    assert options.slurm_shard() == (3, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    assert options.slurm_shard() == (2, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
    with pytest.raises(UsageError, match="without gaps"):
        options.slurm_shard()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3%2")
    with pytest.raises(UsageError, match="SLURM_ARRAY_TASK_ID = '3%2': expected a number"):
        options.slurm_shard()


@pytest.mark.parametrize("variable", ["ID", "COUNT", "MIN"])
def test_other_than_numbers_in_slurm_variables_are_one_line(tmp_path, variable):
    numbers = {"ID": "1", "COUNT": "2", "MIN": "0"} | {variable: "x"}
    env = {f"SLURM_ARRAY_TASK_{k}": v for k, v in numbers.items()}
    done = posepile("run", "aspset", env={"DATA_ROOT": str(tmp_path), **env})
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"SLURM_ARRAY_TASK_{variable} = 'x'" in line


def test_importing_is_light():
    code = (
        "import sys, posepile, posepile.cli, posepile.errors, posepile.paths;"
        "heavy = [m for m in ('cv2', 'numba', 'av', 'onnxruntime', 'torch', 'scipy', 'numpy',"
        " 'pydantic', 'yaml', 'joblib', 'tqdm') if m in sys.modules];"
        "print(heavy); sys.exit(bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_with_nothing_to_do_loads_no_heavy_library(miniature):
    code = (
        "import sys; sys.argv = ['posepile', 'step', 'aspset', 'process', '--quiet']\n"
        "from posepile import cli\n"
        "try: cli.main()\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = [m for m in ('numba', 'onnxruntime', 'torch', 'joblib', 'scipy')"
        " if m in sys.modules]\n"
        "print(heavy); sys.exit(bool(heavy))"
    )
    env = os.environ | {"DATA_ROOT": str(miniature("aspset"))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_recipes_import_no_library_before_it_is_needed():
    code = (
        "import sys\n"
        "from posepile.ds import dataset_names, load_recipe\n"
        "for name in dataset_names(): load_recipe(name)\n"
        "print([m for m in ('deltacamera', 'numba', 'scipy', 'av') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_a_recipe_that_cannot_be_imported_does_not_hide_the_others(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "main.py").write_text("import no_such_thing\n")
    done = posepile("list", env={"POSEPILE_DATASETS": str(tmp_path)})
    assert done.returncode == 1
    place = tmp_path / "odd" / "main.py"
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("odd ")]
    assert f"cannot be read: {place}, line 1: ModuleNotFoundError" in line
    assert "synthego" in done.stdout and "Traceback" not in done.stderr


def test_list_shows_datasets_of_other_folders(tmp_path, monkeypatch):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "main.py").write_text(
        "from posepile.joint_info import JointInfo\nfrom posepile.recipe import DatasetSpec\n"
        "NAMES = [n * 4 for n in 'abc']\n"
        "SPEC = DatasetSpec('odd', JointInfo(NAMES), 'odd_x', licence='none')\n"
    )
    done = posepile("list", env={"POSEPILE_DATASETS": str(tmp_path)})
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("odd ")]
    assert line.split() == ["odd", "3d", "3", "?", "none"], done.stderr


def test_a_dry_run_before_the_miniature_is_made(tmp_path):
    options = ("--miniature", "--dry-run")
    done = posepile("run", "coco", *options, env={"DATA_ROOT": str(tmp_path)})
    assert (done.returncode, list(tmp_path.glob("coco/*"))) == (0, [])
    assert "the miniature would be made" in done.stdout
