"""What is decided and done about sources: fetched, verified, extracted, asked of a person."""

import os
import sys

import pytest
from web_kit import DATA, MD5, Case, make_zip, simple

from posepile.acquire.download import run_download
from posepile.acquire.lockfile import read_lock
from posepile.acquire.patterns import STATE_DIR
from posepile.acquire.plan import format_plan, plan
from posepile.acquire.sources import load_sources
from posepile.errors import UsageError, WorkError
from posepile.files import locked

pytestmark = pytest.mark.usefixtures("no_accounts")


def test_damaged_zip_without_checksum(tmp_path, server):
    data = bytearray(make_zip({"a.txt": os.urandom(1000)}))
    data[200] ^= 1
    server.files["/a.zip"] = bytes(data)
    kept = {"name": "a", "url": f"{server.url}/a.zip"}
    report = Case(tmp_path, kept).run()
    assert "a.txt" in report.left[0] and "damaged" in report.left[0]
    report = Case(tmp_path, kept | {"extract": {}}).run()
    assert "truncated or damaged" in report.left[0]
    assert not (tmp_path / "raw" / "a.txt").exists()


def test_fetch_extract_rerun_and_repair(tmp_path, server):
    server.files["/a.zip"] = make_zip({"Set/a.txt": b"A", "Set/b/c.txt": b"C"})
    source = {
        "name": "set",
        "url": f"{server.url}/a.zip",
        "extract": {"strip_prefix": "Set", "to": "data"},
    }
    case = Case(tmp_path, source)
    report = case.run()
    assert report.ok and report.extracted == ["archives/a.zip"]
    assert (case.root / "data/b/c.txt").read_bytes() == b"C"
    assert case.run().extracted == [] and len(server.requests) == 1
    (case.root / "data/a.txt").unlink()
    assert case.actions() == ["extract"]
    assert case.run().ok and (case.root / "data/a.txt").exists() and len(server.requests) == 1
    # Without the archive, damage means that it is fetched again.
    (case.root / "archives/a.zip").unlink()
    assert case.actions() == ["have"]
    (case.root / "data/a.txt").write_bytes(b"more than one byte")
    assert case.actions() == ["fetch"]
    assert case.run().ok and (case.root / "data/a.txt").read_bytes() == b"A"


def test_extracted_by_hand_counts(tmp_path, server):
    source = simple(server, extract={}, provides=["trainval/videos/*/*.mkv"])
    case = Case(tmp_path, source)
    assert case.actions() == ["fetch"]
    (case.root / "trainval/videos/a").mkdir(parents=True)
    (case.root / "trainval/videos/a/1.mkv").write_bytes(b"x")
    assert case.actions() == ["have"]
    assert case.run().ok and not server.requests


def test_extracted_by_hand_below_another_folder_counts(tmp_path, server):
    source = simple(server, extract={"to": "data"}, provides=["splits.csv", "videos/*.mkv"])
    case = Case(tmp_path, source, roots=["data", "Set-1.0", "."])
    (case.root / "Set-1.0/videos").mkdir(parents=True)
    (case.root / "splits.csv").write_bytes(b"x")
    (case.root / "Set-1.0/videos/1.mkv").write_bytes(b"x")
    assert case.actions() == ["fetch"]
    (case.root / "Set-1.0/splits.csv").write_bytes(b"x")
    assert case.actions() == ["have"]


def test_file_put_there_by_hand_is_checked(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5, bytes=len(DATA)))
    case.root.mkdir()
    (case.root / "a.bin").write_bytes(DATA)
    assert case.actions() == ["verify"]
    assert case.run().ok and not server.requests
    assert case.actions() == ["have"]
    (case.root / "a.bin").write_bytes(DATA[:-1])
    assert case.actions() == ["fetch"]
    assert "will be replaced" in plan(load_sources(case.path), case.root)[0].reason
    (case.root / "a.bin").write_bytes(DATA)
    (case.root / ".posepile/sources.lock.json").unlink()
    (case.root / "a.bin").write_bytes(b"y" + DATA[1:])
    assert "MD5 is" in case.run().left[0]


def manual(**more):
    steps = ["Sign the form.", "Mail it."]
    return {"name": "m", "manual": {"steps": steps, "places": ["in/*.zip"]}, **more}


def test_manual_steps_then_extraction(tmp_path):
    case = Case(tmp_path, manual(extract={"to": "out"}), licence="CC BY 4.0")
    report = case.run()
    assert report.left == ["m: in/*.zip is missing"]
    assert "1. Sign the form." in case.text and "put it at in/*.zip" in case.text
    (case.root / "in").mkdir(parents=True)
    (case.root / "in/one.zip").write_bytes(make_zip({"1.txt": b"1"}))
    assert case.actions() == ["verify"]
    assert case.run().ok and (case.root / "out/1.txt").exists()
    assert case.actions() == ["have"]
    (case.root / "in/two.zip").write_bytes(make_zip({"2.txt": b"2"}))
    assert case.run().ok and (case.root / "out/2.txt").exists()
    assert read_lock(case.root)["in/two.zip"]["from"] == "by hand"


@pytest.mark.parametrize("name", ["in/one.zip", "in/labels.csv"])
def test_a_page_that_a_person_has_saved_is_not_taken(tmp_path, name):
    source = manual()
    source["manual"]["places"] = [name]
    case = Case(tmp_path, source)
    (case.root / "in").mkdir(parents=True)
    (case.root / name).write_bytes(b"<!DOCTYPE html><title>Log in</title>")
    report = case.run()
    assert "is an HTML page; put the right one there" in report.left[0]
    assert case.actions() == ["verify"] and (case.root / name).exists()


def test_manual_archives_all_needed_and_deleted_after(tmp_path):
    source = manual(extract={"keep": False})
    source["manual"]["places"] = [{"path": "in/*.zip", "min": 2}]
    case = Case(tmp_path, source)
    (case.root / "in").mkdir(parents=True)
    (case.root / "in/one.zip").write_bytes(make_zip({"1.txt": b"1"}))
    assert case.actions() == ["manual"]
    (case.root / "in/two.zip").write_bytes(make_zip({"2.txt": b"2"}))
    assert case.run().ok and not list((case.root / "in").iterdir())
    assert case.actions() == ["have"]


def test_body_models_of_all_datasets_count(tmp_path, monkeypatch):
    source = manual()
    source["manual"]["places"] = ["body_models/smpl/a.pkl", "body_models/smpl/b.pkl"]
    case = Case(tmp_path, source)
    shared, own = tmp_path / "body_models/smpl", case.root / "body_models/smpl"
    shared.mkdir(parents=True)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("SMPLFITTER_BODY_MODELS", raising=False)
    (shared / "a.pkl").write_bytes(b"a")
    assert case.actions() == ["manual"]
    (shared / "b.pkl").write_bytes(b"b")
    assert case.actions() == ["have"] and case.run().ok
    own.mkdir(parents=True)
    (own / "a.pkl").write_bytes(b"a")  # readers look into this folder alone now
    assert case.actions() == ["manual"]


def test_tool_is_run_without_a_shell(tmp_path):
    script = tmp_path / "tool.py"
    script.write_text(
        "import sys, pathlib\n"
        "p = pathlib.Path(sys.argv[1]) / 'takes.json'\n"
        "sys.exit(3) if sys.argv[2] == 'fail' else p.write_text(sys.argv[2])\n"
    )
    source = {
        "name": "t",
        "tool": {
            "command": [sys.executable, str(script), "{root}", "fail"],
            "install": "pip install it",
            "on_failure": "renew the keys",
            "places": ["takes.json"],
        },
    }
    assert "exit status 3; renew the keys" in Case(tmp_path, source).run().left[0]
    source["tool"]["command"][-1] = "$(id); `id`"
    case = Case(tmp_path, source)
    assert case.run().ok
    assert (case.root / "takes.json").read_text() == "$(id); `id`"
    assert case.actions() == ["have"]
    source["tool"]["command"][0] = "no-such-program-here"
    source["tool"]["places"] = ["other.json"]
    assert "not installed: pip install it" in Case(tmp_path, source).run().left[0]


def test_only_optional_and_unknown_words(tmp_path, server):
    a, b = simple(server, part="p"), simple(server, optional=True) | {"name": "b", "to": "b.bin"}
    case = Case(tmp_path, a, b)
    assert case.actions() == ["fetch"]
    assert case.run(only=["b"]).fetched == ["b"]
    assert case.run(only="p").fetched == ["a"]
    with pytest.raises(UsageError, match=r"'bb' \(did you mean b\?\); there are: a, b, p"):
        case.run(only=["bb"])


def test_dry_run_touches_nothing_and_tells_everything(tmp_path, server):
    case = Case(
        tmp_path,
        simple(server, bytes=len(DATA)),
        manual(approx_bytes="2.5GB"),
        absent=[{"what": "side view", "reason": "camera stopped"}],
        page="https://example.org/x",
        licence="CC0",
    )
    report = case.run(dry_run=True)
    text = "\n".join(report.lines)
    assert text == format_plan("x", case.path, case.root)
    assert not case.root.exists() and not server.requests and not report.ok
    assert "2 sources, 0 on disk, 2.5 GB to get" in text
    assert "by hand  m" in text and "1.5 MB" in text
    assert "known to be absent: side view" in text and "CC0" in text


def test_plan_says_what_is_optional_and_how_to_ask(tmp_path, server):
    many = {"name": "m{k}", "each": {"k": list("12345")}, "url": f"{server.url}/{{k}}.zip"}
    case = Case(
        tmp_path,
        simple(server),
        simple(server, optional=True, note="for a look") | {"name": "b", "to": "b.bin"},
        many | {"optional": True, "part": "more"},
        many | {"name": "n{k}", "url": f"{server.url}/n{{k}}.zip"},
    )
    text = format_plan("x", case.path, case.root)
    assert "… and 2 more n{k}, to n5" in text
    lines = ["  optional, by posepile step x download --parts WORD:", "    b: for a look"]
    assert text.split("\n")[-4:-1] == [*lines, "    more (m{k})"]
    assert "optional" not in format_plan("x", case.path, case.root, ["b"])


def test_too_small_disk_is_said_beforehand(tmp_path, server):
    case = Case(tmp_path, simple(server, bytes=10**18))
    with pytest.raises(WorkError, match=r"1000000\.0 TB are to be fetched"):
        case.run()
    assert not server.requests


def test_two_downloads_into_one_folder(tmp_path, server):
    case = Case(tmp_path, simple(server))
    with (
        locked(case.root / STATE_DIR / "download.lock"),
        pytest.raises(WorkError, match="another download"),
    ):
        case.run()


def test_wrong_dataset(tmp_path, server):
    case = Case(tmp_path, simple(server))
    with pytest.raises(UsageError, match="is about x, not y"):
        run_download("y", case.path, case.root)
