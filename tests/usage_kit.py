"""The command line in this process, on a tiny dataset whose recipe is a file: ``mini``."""

import contextlib
import io
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_dataset import make_raw

from posepile import cli

RECIPE = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from fake_dataset import JOINTS, Options, list_units, load_unit
from posepile.recipe import DatasetSpec

SPEC = DatasetSpec("mini", JOINTS, "mini_downscaled", world_up=(0, -1, 0), licence="CC0")
"""

CONFIG = "select: {method: last, threshold_mm: 50}\nrun: {isolate: false}\n"


class Said(NamedTuple):
    """What a command has said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        """Lines of standard error."""
        return self.err.splitlines()


def posepile(*argv):
    """Runs a command in this process; whatever it raises but ``SystemExit`` is the test's."""
    out, err = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    variables = dict(os.environ)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main(list(argv))
            except SystemExit as e:
                code = e.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for name in ("DATA_ROOT", "CACHE_DIR"):  # made absolute by the command
            if name in variables:
                os.environ[name] = variables[name]
    return Said(code, out.getvalue(), err.getvalue())


def make_mini(folder, list_units="", config=CONFIG):
    """Makes the dataset's folder below a folder for ``POSEPILE_DATASETS``.

    Args:
        folder: The folder above.
        list_units: Code that replaces the recipe's function of that name.
        config: Its configuration.
    """
    own = folder / "mini"
    own.mkdir(parents=True, exist_ok=True)
    (own / "main.py").write_text(RECIPE + list_units)
    (own / "config.yaml").write_text(config)


def forget_mini():
    """Forgets the imported recipe, so that another one of its name is read."""
    for name in [n for n in sys.modules if n.startswith("posepile.ds.mini")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def packed_mini(tmp_path_factory):
    """Folder with ``datasets/mini`` and ``data``, where it is packed; made once, read only."""
    folder = tmp_path_factory.mktemp("mini")
    make_mini(folder / "datasets")
    make_raw(folder / "data" / "mini")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(folder / "data"))
        patch.setenv("POSEPILE_DATASETS", str(folder / "datasets"))
        said = posepile("run", "mini", "--quiet")
    assert (said.code, said.err) == (0, "")
    forget_mini()
    return folder


@pytest.fixture
def mini(packed_mini, monkeypatch):
    """DATA_ROOT with the packed dataset, read only."""
    monkeypatch.setenv("DATA_ROOT", str(packed_mini / "data"))
    monkeypatch.setenv("POSEPILE_DATASETS", str(packed_mini / "datasets"))
    monkeypatch.chdir(packed_mini)
    yield packed_mini / "data"
    forget_mini()


@pytest.fixture
def own_mini(packed_mini, tmp_path, monkeypatch):
    """DATA_ROOT with a copy of the packed dataset, to be damaged."""
    shutil.copytree(packed_mini, tmp_path / "own", symlinks=True)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "own" / "data"))
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path / "own" / "datasets"))
    yield tmp_path / "own" / "data"
    forget_mini()
