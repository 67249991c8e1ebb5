"""``posepile new``, and datasets that live elsewhere: in a folder, in somebody's wheel."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from wheel_kit import build_wheel, install, outside

import posepile.ds
from posepile.cli import main as command
from posepile.errors import UsageError
from posepile.run.code import recipe_code
from posepile.templates import PLACEHOLDER, SHAPES, new_dataset


def posepile_at(installed, *arguments, more="", check=True, **variables):
    """Runs the installed package's command; returns what it printed."""
    prefix, site = installed
    path = os.pathsep.join(filter(None, [str(site), str(more)]))
    done = subprocess.run(
        [prefix / "bin" / "python", "-m", "posepile", *map(str, arguments)],
        env=outside(site, {"PYTHONPATH": path, **{k: str(v) for k, v in variables.items()}}),
        cwd=prefix,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout if check else done


@pytest.mark.parametrize("like", ["multiview", "stills"])
def test_a_new_folder_passes_as_it_is(installed, tmp_path, like):
    said = posepile_at(installed, "new", "mydata", "--like", like, "--at", tmp_path)
    assert f"export POSEPILE_DATASETS={tmp_path} " in said
    answers = posepile_at(installed, "check", "mydata", POSEPILE_DATASETS=tmp_path)
    assert "mydata: ok" in answers and "FAILED" not in answers
    asked = {line.split(":")[0].split(maxsplit=1)[1] for line in answers.splitlines()[1:-1]
             if line.startswith("  ok ")}  # fmt: skip
    assert {"joints", "boxes", "frames", "persons", "world", "cameras", "mirroring"} <= asked
    assert ("masks" in asked) == (like == "stills")


def test_a_dataset_in_somebodys_wheel(installed, tmp_path):
    tree, prefix = tmp_path / "tree", tmp_path / "env"
    (tree / "mylab").mkdir(parents=True)
    (tree / "mylab" / "__init__.py").touch()
    posepile_at(installed, "new", "labdata", "--like", "coco", "--at", tree / "mylab")
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "mylab-datasets"\nversion = "1.0"\n'
        '[project.entry-points."posepile.datasets"]\nlabdata = "mylab.labdata"\n'
        '[tool.setuptools]\npackages = ["mylab", "mylab.labdata"]\n'
        '[tool.setuptools.package-data]\n"*" = ["*.sh", "*.yaml", "*.md"]\n'
    )
    site = install(build_wheel(tree), prefix)
    listed = posepile_at(installed, "list", more=site).splitlines()
    assert [line.split()[:2] for line in listed if line.startswith("labdata")] == [
        ["labdata", "2d"]
    ]
    answers = posepile_at(installed, "check", "labdata", more=site)
    assert "labdata: ok" in answers and "  ok        masks" in answers


def test_main_sh_of_a_new_folder_needs_no_variables(installed, tmp_path):
    prefix, site = installed
    folder = new_dataset("mydata", "coco", tmp_path / "sets")
    (tmp_path / "data").mkdir()
    variables = {"DATA_ROOT": str(tmp_path / "data"), "PYTHON": str(prefix / "bin" / "python")}
    done = subprocess.run(
        ["bash", str(folder / "main.sh"), "--miniature", "--quiet", "--jobs", "1"],
        env=outside(site, variables | {"PYTHONPATH": str(site)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mydata: packed: 4 train, 3 val, 3 test" in done.stdout
    doctor = posepile_at(
        installed, "doctor", "mydata", POSEPILE_DATASETS=folder.parent, **variables
    )
    assert doctor.splitlines()[-1] == "  ok"


@pytest.mark.parametrize("like", SHAPES)
def test_every_trace_of_the_template_goes(tmp_path, like):
    folder = new_dataset("abc_1", like, tmp_path)
    for file in folder.iterdir():
        assert PLACEHOLDER not in file.read_text(), file
    assert os.access(folder / "main.sh", os.X_OK)
    lines = sum(len(file.read_text().splitlines()) for file in folder.glob("*.py"))
    assert lines <= 300, f"{lines} lines of Python"


def test_the_help_of_main_sh_is_its_own(tmp_path):
    folders = [new_dataset(f"my{like}", like, tmp_path) for like in SHAPES]
    for folder in [*folders, Path(posepile.ds.dataset_dir("aspset"))]:
        command = ["bash", str(folder / "main.sh"), "--jobs", "2", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        first, *lines = done.stdout.splitlines()
        assert first.lower().startswith(folder.name) and "  --miniature" in done.stdout
        assert lines and not any(line.startswith(("#", "set ", "posepile step")) for line in lines)


@pytest.mark.parametrize("name", ["My", "1a", "a-b", "a b", "", "../a", "class", "x" * 41, "ä"])
def test_names_that_no_folder_may_have(tmp_path, name):
    reason = "it is a word of Python" if name == "class" else "expected a small letter"
    with pytest.raises(UsageError, match=f"cannot name a dataset: {reason}"):
        new_dataset(name, "coco", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "reason"),
    [("def x((", r"SyntaxError: .* never closed"), ("SPEC.nothing", "AttributeError: .*nothing")],
)
def test_a_mistake_in_a_recipe_is_one_line_with_its_place(tmp_path, monkeypatch, line, reason):
    folder = new_dataset(f"broken_{len(line)}", "coco", tmp_path)
    n = len((folder / "main.py").read_text().splitlines())
    with (folder / "main.py").open("a") as f:
        f.write(line + "\n")
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    with pytest.raises(UsageError, match=rf"main\.py, line {n + 1}: {reason}") as e:
        posepile.ds.load_recipe(folder.name)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def x((", r"late\.py, line 1: SyntaxError: "),
        ("x = 1\0", r"late\.py.*(SyntaxError|ValueError): "),
        ("x = " + "+".join("1" * 20000), r"late\.py: RecursionError: .* nested too deep"),
    ],
    ids=["syntax", "null", "deep"],
)
def test_so_is_one_in_a_module_that_is_imported_late(tmp_path, monkeypatch, text, reason):
    folder = new_dataset(f"late_{len(text)}", "coco", tmp_path)
    with (folder / "main.py").open("a") as f:
        f.write("\n\ndef never():\n    from . import late\n")
    (folder / "late.py").write_text(text)
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    with pytest.raises(UsageError, match=reason) as e:
        recipe_code(posepile.ds.load_recipe(folder.name))
    assert "\n" not in str(e.value)


def test_nothing_is_overwritten(tmp_path, capsys):
    with pytest.raises(UsageError, match="there is a dataset coco already"):
        new_dataset("coco", "coco", tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.py").write_text("precious")
    with pytest.raises(SystemExit) as end:
        command(["new", "mine", "--like", "coco", "--at", str(tmp_path)])
    assert end.value.code == 2
    assert "mine exists; choose another name" in capsys.readouterr().err
    assert (tmp_path / "mine" / "main.py").read_text() == "precious"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="link exists"):
        new_dataset("link", "coco", tmp_path)
    for place in (tmp_path / "mine" / "main.py", tmp_path / "mine" / "main.py" / "deeper"):
        with pytest.raises(UsageError, match=r"--at .*/main\.py is no folder; name a folder"):
            new_dataset("other", "coco", place)


def test_folders_that_are_not_there_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path / "nowhere"))
    message = f"POSEPILE_DATASETS names {tmp_path}/nowhere, which is no folder"
    with pytest.raises(UsageError, match=message):
        posepile.ds.load_recipe("mydata")
    with pytest.raises(SystemExit):
        command(["list"])
    assert capsys.readouterr().err == f"POSEPILE_DATASETS: {tmp_path}/nowhere is no folder\n"


def test_a_unit_that_there_is_not_is_a_mistake_in_main(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    folder = new_dataset("parsecs", "multiview", tmp_path)
    text = (folder / "main.py").read_text()
    (folder / "main.py").write_text(text.replace('UNIT = "mm"', 'UNIT = "parsec"'))
    with pytest.raises(UsageError, match=r"main\.py, line \d+: KeyError: 'parsec'"):
        posepile.ds.load_recipe("parsecs")


# ---------------------------------------------------------------- entry points


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """Makes a package and an entry point of it, as if installed."""

    def make(name, value):
        monkeypatch.syspath_prepend(tmp_path)
        found = importlib.metadata.EntryPoint(name, value, posepile.ds.GROUP)
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda group: [found] * (group == found.group)
        )

    yield make
    for name in [name for name in sys.modules if name.startswith("posepile.ds.zz_")]:
        del sys.modules[name]


def recipe_in(folder, text="HERE = 1\n"):
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(text)


def test_an_entry_point_may_have_another_name_than_its_folder(tmp_path, entry):
    recipe_in(tmp_path / "zzlab" / "inner", "from posepile.ds.zz_a import side\n")
    (tmp_path / "zzlab" / "inner" / "__init__.py").touch()
    (tmp_path / "zzlab" / "inner" / "side.py").touch()
    (tmp_path / "zzlab" / "__init__.py").touch()
    entry("zz_a", "zzlab.inner")
    assert "zz_a" in posepile.ds.dataset_names()
    assert posepile.ds.dataset_dir("zz_a") == tmp_path / "zzlab" / "inner"
    recipe = posepile.ds.load_recipe("zz_a")
    assert recipe.side.__name__ == "posepile.ds.zz_a.side"
    assert Path(recipe.__file__) == tmp_path / "zzlab" / "inner" / "main.py"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("zz_no_such_package.x", "zz_b = 'zz_no_such_package.x': cannot be imported"),
        ("json", "zz_b = 'json': found no main.py there"),
    ],
)
def test_a_wrong_entry_point_is_one_line(entry, capsys, value, message):
    entry("zz_b", value)
    with pytest.raises(UsageError, match=message):
        posepile.ds.load_recipe("zz_b")
    with pytest.raises(SystemExit) as end:
        command(["list"])
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert re.search(r"^zz_b +cannot be read: entry point", out, re.MULTILINE)
    assert message in out and "coco" in out


def test_ours_come_before_those_of_others(tmp_path, entry, monkeypatch):
    recipe_in(tmp_path / "zzother")
    entry("coco", "zzother")
    assert posepile.ds.dataset_dir("coco") == Path(posepile.ds.__path__[0], "coco")
    recipe_in(tmp_path / "mine" / "zz_c")
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path / "mine"))
    entry("zz_c", "zzother")
    assert posepile.ds.dataset_dir("zz_c") == tmp_path / "mine" / "zz_c"


def test_every_module_of_a_folder_elsewhere_can_be_run(tmp_path):
    recipe_in(tmp_path / "zz_d")
    (tmp_path / "zz_d" / "eval.py").write_text(
        "from posepile.ds.zz_d.main import HERE\nprint(HERE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "posepile.ds.zz_d.eval"],
        env={**os.environ, "POSEPILE_DATASETS": str(tmp_path)},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize("name", ["gym_work", "cache"])
def test_names_of_working_folders_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="would be a working folder of others"):
        new_dataset(name, "coco", tmp_path)
