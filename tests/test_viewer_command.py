"""The viewer as a command: where it serves, what it says, and pictures instead."""

import subprocess
import sys
from urllib.parse import quote

import pytest
import viewer_kit as kit
from conftest import ROOT

from posepile.errors import UsageError
from posepile.viewer.serving import Server, link_to, make_server


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("viewer")


@pytest.fixture(scope="module")
def dataset(root):
    import os

    before, os.environ["DATA_ROOT"] = os.environ.get("DATA_ROOT"), str(root)
    made = kit.make_dataset(root)
    assert len(made.examples[0][0].bbox) == 4  # opened below this DATA_ROOT
    yield made
    os.environ.pop("DATA_ROOT")
    if before is not None:
        os.environ["DATA_ROOT"] = before


@pytest.fixture(autouse=True)
def _below(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))


def test_a_port_that_is_taken(dataset, tmp_path):
    with kit.serving(dataset, tmp_path / "x.txt") as first:
        port = first.server_address[1]
        second = make_server(first.answers, port)
        assert isinstance(second, Server) and second.server_address[1] != port
        second.server_close()
    with pytest.raises(UsageError, match="--port 1: "):
        if make_server(first.answers, 1):  # root may listen there
            raise UsageError("--port 1: may be used here")


def test_links():
    link = link_to("http://127.0.0.1:8765/", "a@b", "val", "x/ü #?.jpg", 2)
    assert link == f"http://127.0.0.1:8765/#/a@b/val/x/{quote('ü #?.jpg')}?person=2"
    assert link_to("http://127.0.0.1:1/", "a") == "http://127.0.0.1:1/#/a"


def test_the_command_serves_until_it_is_interrupted(dataset, root, tmp_path):
    import os
    import signal
    import urllib.request

    environment = {**os.environ, "DATA_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    environment.pop("SSH_CONNECTION", None)
    command = [sys.executable, "-m", "posepile", "view", str(root / "toy.barecat")]
    options = ["toy_downscaled/s9/0000.jpg", "--no-open", "--port", "0", "--exclusions"]
    process = subprocess.Popen(
        [*command, *options, tmp_path / "mine.txt"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("toy: http://127.0.0.1:")
        assert line.strip().endswith("/#/toy/test/toy_downscaled/s9/0000.jpg")
        with urllib.request.urlopen(line.split()[1].split("#")[0], timeout=20) as answer:
            assert b"PosePile" in answer.read()
        assert "mine.txt" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and not errors


def test_wrong_requests_are_one_line(dataset, root, tmp_path, capsys):
    from posepile.cli import main

    toy = str(root / "toy.barecat")
    (tmp_path / "folder").mkdir()
    for words, expected in (
        ([toy, "--index", "0", "1"], "several examples; add --png FILE"),
        ([toy, "--index", "80"], "has 80 train examples"),
        ([toy, "nothing.jpg"], "nothing.jpg: no such image path"),
        ([toy, kit.ODD[0], "--split", "train"], "no such image path in the train examples"),
        ([toy, kit.ODD[0], "--index", "1"], "give one of them"),
        ([toy, "--port", "70000"], "expected a number up to 65535"),
        ([toy, "--exclusions", str(tmp_path / "folder")], "found a folder"),
        ([toy, "--variant", "x"], "is a file"),
        ([toy, "--png", "x.txt"], "expected .png or .jpg"),
        (["nosuch"], "unknown dataset"),
        ([str(root / "none.barecat")], "not found"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["view", *words])
        said = capsys.readouterr()
        assert end.value.code == 2 and expected in said.err, (words, said.err)
        assert len(said.err.splitlines()) == 1 and not said.out


def test_a_picture_of_one_example(dataset, root, tmp_path, capsys):
    import cv2

    from posepile.cli import main

    for words in (["--index", "0", "-1"], [kit.ODD[0]], []):
        out = tmp_path / f"{len(words)}.png"
        with pytest.raises(SystemExit) as end:
            main(["view", str(root / "toy.barecat"), *words, "--png", str(out)])
        assert end.value.code == 0 and cv2.imread(str(out)) is not None
        assert capsys.readouterr().out.strip() == str(out)
