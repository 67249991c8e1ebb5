"""What is printed and done about raw data loses nothing: not ours, not that of others."""

# ruff: noqa: F811 (fixtures are imported)

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from archive_kinds_kit import zip_bytes
from raw_situations_kit import (  # noqa: F401
    ASPSET,
    ask,
    gzipped_tar,
    home,
    misplaced,
    obey,
    write,
)

from posepile.miniature import MARK, TRUTH


def test_files_of_others_are_linked_not_moved(home, ask, tmp_path):
    share = tmp_path / "the share"
    write(
        share,
        {path.replace("trainval/joints_3d", "joints/joints_3d"): c for path, c in ASPSET.items()},
    )
    before, root = sorted(share.rglob("*")), home / "aspset"
    root.symlink_to(share)
    _, _, commands = ask("doctor", "aspset")
    own = f"{home}/aspset_links"
    (command,) = (c for c in commands if "_links" in c)
    assert command == (
        f"posepile doctor aspset --set dataset.root={own} --link-from '{share}'"
    ) and not any(c.startswith("mv") or "--mend" in c for c in commands)
    ask("doctor", "aspset", "--mend")
    obey(command)
    assert sorted(share.rglob("*")) == before and len(list(Path(own).rglob("*.c3d"))) == 80
    assert not misplaced(ask("doctor", "aspset", "--set", f"dataset.root={own}")[1])


def test_a_miniature_is_not_linked_into_data_nor_replaces_them(home, ask, raw_miniature, tmp_path):
    there, root = tmp_path / "drawn", home / "aspset"
    shutil.copytree(raw_miniature("aspset"), there)
    write(root, ASPSET)
    before = sorted(root.rglob("*"))
    write(there, {MARK: b"{}"})
    assert ask("doctor", "aspset", "--link-from", str(there))[0] == 2
    assert sorted(root.rglob("*")) == before
    for mark in (TRUTH, MARK):
        (root / mark).symlink_to(there / mark)
    assert ask("step", "aspset", "download", "--miniature")[0] == 2
    assert set(before) < set(root.rglob("*"))


@pytest.mark.parametrize(
    ("name", "file", "part"),
    [
        ("coco", "train2017/000000000009.jpg", "train2017"),
        ("genebody", "GeneBody-Train40/ahha/image/00/0000.jpg", None),
    ],
)
def test_a_damaged_file_of_which_nothing_is_known_stays_missing(home, ask, name, file, part):
    root = home / name
    whole = cv2.imencode(".jpg", np.zeros((40, 30, 3), np.uint8))[1].tobytes()
    others = ("000000000025", "000000000030")
    write(root, {f"train2017/{n}.jpg": whole for n in others} if name == "coco" else {})
    content = whole[: len(whole) // 2]
    write(root, {file: content, f"{file}.damaged": b"of an earlier time"})
    _, said, commands = ask("doctor", name, "--checksums")
    (command,) = (c for c in commands if c.startswith(f"posepile doctor {name} --mend"))
    then = f"step {name} download --parts {part}" if part else f"plan {name}"
    assert command == f"posepile doctor {name} --mend ; posepile {then}"
    ask("doctor", name, "--checksums", "--mend")
    assert (root / f"{file}.damaged-2").read_bytes() == content
    assert (root / f"{file}.damaged").read_bytes() == b"of an earlier time"
    code, said, commands = ask("doctor", name)
    assert code == 1 and f"{file}: was put aside as damaged" in said and commands
    assert not part or f"{file} was put aside as damaged" in ask("plan", name)[1]
    write(root, {file: whole})
    assert "put aside as damaged" not in ask("doctor", name)[1]


def test_a_truncated_archive_in_the_wrong_place_is_put_aside_once(home, ask):
    data = zip_bytes({"a": os.urandom(9000)})
    root = home / "spec"
    write(root, {"old/spec-syn.zip": data[: len(data) // 2]})
    _, _, commands = ask("doctor", "spec")
    (command,) = (c for c in commands if "spec-syn.zip" in c)
    assert command.startswith(f"mv -n {root}/old/spec-syn.zip {root}/old/spec-syn.zip.damaged && ")
    assert not any("--mend" in c for c in commands)


def test_what_is_there_already_is_no_hindrance(home, ask):
    data = gzipped_tar()
    file = home / "aspset/archives/aspset510_v1_trainval-boxes.tar.gz"
    write(home, {str(file): data[:-9], f"{file}.part": data[:50], f"{file}.damaged": b"1"})
    _, _, commands = ask("doctor", "aspset")
    assert any(c.startswith(f"mv -n {file} {file}.damaged-2 && posepile step") for c in commands)


def test_what_was_moved_is_known_although_a_later_move_fails(home, ask, monkeypatch):
    root = home / "aspset"
    write(root, {f"x/{path}": content for path, content in ASPSET.items()})
    rename, n = os.rename, []

    def failing(here, there):
        n.append(here)
        if len(n) == 5:
            raise PermissionError(13, "no", str(here))
        rename(here, there)

    monkeypatch.setattr("posepile.acquire.moves.os.rename", failing)
    assert ask("doctor", "aspset", "--mend")[0] == 1
    moved = json.loads((home / "aspset_work/moved.json").read_text())["moves"]
    assert len(moved) == 4 and all((root / there).exists() for _, there in moved)
