"""Keys of results: which change makes a result again, and what a rerun says about it."""

import importlib.util
import json
import os
import textwrap

import fake_dataset
import pytest
from fake_dataset import a_run, process_and_pack, states

from posepile import config
from posepile.run import code, commands, inputs, job, keys, pack, process
from posepile.store import parts

fake = fake_dataset.fake  # the fixture


# ---------------------------------------------------------------- the recipe's code


def recipe(folder, **files):
    """A recipe in a folder of its own, as users have them; returns its module."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_file_location("mine.main", folder / "main.py")
    return importlib.util.module_from_spec(spec)


MAIN = """
    from mine import reader
    from posepile.formats.numpy_files import load_npy

    def list_units(root, options):
        from mine.late import things
        return things(root, 7)
    """


@pytest.fixture
def mine(tmp_path):
    files = {"main": MAIN, "reader": "X = 1\n", "late": "def things(root, n):\n    return n\n"}
    files |= {"miniature": "A = 1\n", "eval": "A = 1\n", "unused": "A = 1\n"}

    def digests(**changed):
        return code.recipe_code(recipe(tmp_path, **files | changed))

    return digests


def test_code_is_followed_also_into_late_imports(mine):
    found = mine()
    own = {name for name in found if not name.startswith("posepile/")}
    assert own == {
        f"{os.path.basename(own_folder(mine))}/{n}.py" for n in ("main", "reader", "late")
    }
    assert "posepile/formats/numpy_files.py" in found
    assert not any("errors" in name or "store" in name for name in found)


def own_folder(mine):
    return os.path.dirname(next(n for n in mine() if n.endswith("/main.py")))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"main": MAIN.replace("7", "8")}, True),
        ({"late": "def things(root, n):\n    return n + 1\n"}, True),
        ({"main": MAIN + "\n    # a comment\n\n"}, False),
        ({"late": 'def things(root, n):\n    """Says what."""\n    return n\n'}, False),
        ({"main": '    """A recipe."""' + MAIN}, False),
        ({"late": 'def things(root, n):\n    "Says what."\n    "and more"\n    return n\n'}, True),
        ({"miniature": "A = 2\n"}, False),
        ({"eval": "A = 2\n"}, False),
        ({"unused": "A = 2\n"}, False),
    ],
)
def test_what_of_the_code_counts(mine, change, counts):
    assert (mine(**change) != mine()) == counts


def test_every_recipe_of_the_package_has_an_identity():
    from posepile.ds import dataset_names, load_recipe

    for name in dataset_names():
        found = code.recipe_code(load_recipe(name))
        assert f"posepile/ds/{name}/main.py" in found
        assert "posepile/recipe.py" in found
        assert f"posepile/ds/{name}/miniature.py" not in found
        assert f"posepile/ds/{name}/eval.py" not in found


@pytest.fixture
def edited(fake, monkeypatch):
    """Stands for an edited main.py: what the code says, for the fake recipe without a file."""

    def edit(text):
        monkeypatch.setattr(keys, "recipe_code", lambda recipe: {"fake/main.py": text})

    edit("before")
    return edit


def test_edited_code_makes_results_again_and_says_so(fake, edited, capsys):
    process_and_pack(fake)
    edited("after")
    capsys.readouterr()
    assert set(map(str, states(a_run(fake)).values())) == {"{'crop': 'done'}"}
    said = capsys.readouterr().out
    assert "fake: 3 units again: the recipe's code has changed (fake/main.py)" in said


def test_results_of_other_code_are_kept_when_asked_and_the_manifest_says_so(fake, edited):
    before = job.run_keys(a_run(fake)).shared["recipe"]
    process_and_pack(fake)
    edited("after")
    (fake / "fake" / "seq1" / "world.json").write_bytes(
        (fake / "fake" / "seq0" / "world.json").read_bytes()
    )
    with pytest.raises(Exception, match=r"3 of 3 units are not finished.*recipe's code"):
        pack.pack(a_run(fake))
    keep = a_run(fake, keep_results=True)
    assert states(keep) == {"seq0": {}, "seq1": {"crop": "done"}, "seq2": {}}
    manifest, _ = pack.pack(keep)
    assert manifest["kept_results"] == {before: 2}
    # What was kept is still of the old code: without the option it is made again.
    assert states(a_run(fake)) == {"seq0": {"crop": "done"}, "seq1": {}, "seq2": {"crop": "done"}}


def test_masks_made_from_kept_crops_are_not_of_the_new_code(fake, edited):
    both = ("crop", "segment")
    states(a_run(fake))
    edited("after")
    grabcut = "segment.model=grabcut"
    kept = states(a_run(fake, grabcut, keep_results=True), both)
    assert set(map(str, kept.values())) == {"{'crop': 'kept', 'segment': 'done'}"}
    again = states(a_run(fake, grabcut), both)
    assert set(map(str, again.values())) == {"{'crop': 'done', 'segment': 'done'}"}


def test_what_is_made_anew_beside_kept_results_is_of_the_new_code(fake, edited):
    both = ("crop", "segment")
    grabcut = "segment.model=grabcut"
    states(a_run(fake, grabcut), both)
    before = a_run(fake)
    crop, mask = (fake_dataset.part_of(before, stage, "seq1") for stage in both)
    mask.unlink()
    damage(crop)
    edited("after")
    keep = a_run(fake, grabcut, keep_results=True)
    assert states(keep, both)["seq1"] == {"crop": "done", "segment": "done"}
    now = job.run_keys(keep).shared["recipe"]
    for part in (crop, mask):
        assert parts.read_header(part)["result"]["key"]["recipe"] == now
    # Crops that are kept and sound make masks of their own code.
    (kept, mask) = (fake_dataset.part_of(before, stage, "seq0") for stage in both)
    mask.unlink()
    assert states(keep, ("segment",))["seq0"] == {"segment": "done"}
    then = parts.read_header(kept)["result"]["key"]["recipe"]
    assert then == parts.read_header(mask)["result"]["key"]["recipe"] != now


def damage(part):
    data = bytearray(part.read_bytes())
    data[-40] ^= 1
    part.write_bytes(data)


def test_crops_are_checked_once_when_only_masks_are_made_again(fake, monkeypatch):
    both = ("crop", "segment")
    states(a_run(fake, "segment.model=grabcut", only="seq0"), both)
    checked = []
    damage_of_part = parts.damage_of_part

    def noted(path, **options):
        checked.append(path)
        return damage_of_part(path, **options)

    monkeypatch.setattr(parts, "damage_of_part", noted)
    run = a_run(fake, "segment.model=grabcut", "segment.min_area=0.06", only="seq0")
    assert states(run, both)["seq0"] == {"crop": "kept", "segment": "done"}
    assert len(checked) == 1


# ---------------------------------------------------------------- what is said


def test_that_arguments_of_a_unit_changed_is_said_in_grammar(fake):
    run = a_run(fake)
    said = keys.name_changes(job.run_keys(run), run.work, "unit", "0")
    assert said == "the unit's arguments have changed"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("crop.jpeg_quality=80", "crop parameters have changed (crop.jpeg_quality)"),
        ("box.expand=1.1", "crop parameters have changed (box.expand)"),
        ("select.threshold_mm=60", "selection parameters have changed (select.threshold_mm)"),
        ("dataset.stride=2", "dataset options have changed (dataset.stride)"),
    ],
)
def test_a_rerun_names_the_parameter_that_changed(fake, capsys, override, expected):
    states(a_run(fake))
    capsys.readouterr()
    commands.dry_run(a_run(fake, override), ("crop",))
    said = capsys.readouterr().out.splitlines()
    assert said == ["fake: crop: 3 units: 0 to do, 3 to do again, 0 current", said[1]]
    assert said[1] == f"  3 units again: {expected}"
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}  # nothing was done
    states(a_run(fake, override))
    assert f"fake: 3 units again: {expected}" in capsys.readouterr().out


def test_a_dry_run_of_new_and_touched_units(fake, capsys):
    states(a_run(fake, only="seq1"))
    os.utime(fake / "fake" / "seq1" / "1.jpg")
    capsys.readouterr()
    commands.dry_run(a_run(fake), ("crop",))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "fake: crop: 3 units: 2 to do, 1 to look at, 0 current"
    assert "1 unit to look at: input files have another size or time" in second


def test_a_damaged_head_is_a_reason(fake, capsys):
    run = a_run(fake)
    states(run)
    path = fake_dataset.part_of(run, "crop", "seq1")
    path.write_bytes(path.read_bytes()[:100])
    capsys.readouterr()
    assert states(run) == {"seq0": {}, "seq1": {"crop": "done"}, "seq2": {}}
    assert "fake: 1 unit again: a damaged part" in capsys.readouterr().out


def test_changed_keys_are_named_to_the_leaf():
    before = {"crop": {"a": 1, "b": {"c": 2}}, "x": 1}
    assert keys.changed_keys(before, before) == []
    assert keys.changed_keys(before, {"crop": {"a": 1, "b": {"c": 3}}}) == ["crop.b.c", "x"]


def test_parameters_without_effect_on_a_result_are_not_in_its_key():
    def shared(*overrides):
        options = ("box.source=detect", "detect.model=joints", *overrides)
        made = config.load_config("coco", job.load_recipe("coco").Options, options)
        return keys.make_keys(job.load_recipe("coco"), made, []).shared

    assert shared("detect.batch=3") == shared("run.max_memory=7") == shared()
    assert shared("detect.score=0.3") != shared()


# ---------------------------------------------------------------- fingerprints


def test_fingerprints_follow_content_not_time(tmp_path):
    file = tmp_path / "raw.bin"
    file.write_bytes(b"one")
    first = inputs.fingerprint_inputs(["raw.bin"], tmp_path, [])
    os.utime(file, ns=(1, 1))
    touched = inputs.fingerprint_inputs(["raw.bin"], tmp_path, first)
    assert touched[0][3] == first[0][3] and touched != first
    assert keys.inputs_digest(touched) == keys.inputs_digest(first)
    file.write_bytes(b"two")
    assert inputs.fingerprint_inputs(["raw.bin"], tmp_path, first)[0][3] != first[0][3]


def test_an_unchanged_file_is_not_read_again(tmp_path, monkeypatch):
    (tmp_path / "raw.bin").write_bytes(b"one")
    first = inputs.fingerprint_inputs(["raw.bin"], tmp_path, [])
    monkeypatch.setattr(inputs, "fingerprint", lambda path, whole: pytest.fail("read again"))
    assert inputs.fingerprint_inputs(["raw.bin"], tmp_path, first) == first
    assert inputs.unchanged(["raw.bin"], str(tmp_path), first)


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file above the limit, and a function that plants zeros between the samples."""
    from posepile import files

    monkeypatch.setattr(files, "WHOLE_FILE_LIMIT", 1000)
    monkeypatch.setattr(files, "SAMPLE", 100)
    file = tmp_path / "video"
    data = bytearray(os.urandom(5000))
    file.write_bytes(data)

    def plant():
        data[1000:1100] = bytes(100)
        file.write_bytes(data)

    return file, plant


def test_large_files_are_sampled_and_say_so(large):
    file, _plant = large
    (before,) = inputs.fingerprint_inputs(["video"], file.parent, [])
    assert before[3].startswith("blake2b-sampled:")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (after,) = inputs.fingerprint_inputs(["video"], file.parent, [])
    assert after[3] != before[3]


def test_checksums_full_reads_every_byte(large):
    file, plant = large
    before = inputs.fingerprint_inputs(["video"], file.parent, [], whole=True)
    plant()
    after = inputs.fingerprint_inputs(["video"], file.parent, [], whole=True)
    assert before[0][3].startswith("blake2b:")
    assert before[0][3] != after[0][3]
    sampled = inputs.fingerprint_inputs(["video"], file.parent, [])
    assert not inputs.unchanged(["video"], str(file.parent), sampled, whole=True)
    assert inputs.unchanged(["video"], str(file.parent), after, whole=True)


def test_a_file_that_was_replaced_is_always_read_whole(large):
    file, plant = large
    before = inputs.fingerprint_inputs(["video"], file.parent, [])
    plant()
    os.utime(file, ns=(1, 1))
    (after,) = inputs.fingerprint_inputs(["video"], file.parent, before)
    assert after[3].startswith("blake2b:")


def test_what_the_download_has_hashed_is_taken_from_its_record(large):
    file, _plant = large
    lock = file.parent / ".posepile" / "sources.lock.json"
    lock.parent.mkdir()

    def record(**changed):
        stat = file.stat()
        entry = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": "ab" * 32}
        files = {"video": {**entry, **changed}}
        lock.write_text(json.dumps({"version": 1, "files": files}))
        inputs._read_lock.cache_clear()
        return inputs.fingerprint_inputs(["video"], file.parent, [])[0][3]

    assert record() == "sha256:" + "ab" * 32
    # A record of another file says nothing about this one.
    assert record(mtime_ns=1).startswith("blake2b-sampled:")
    assert record(bytes=1).startswith("blake2b-sampled:")


def test_the_manifest_says_how_inputs_were_fingerprinted(fake, monkeypatch):
    from posepile import files

    monkeypatch.setattr(files, "WHOLE_FILE_LIMIT", 1000)
    monkeypatch.setattr(files, "SAMPLE", 100)
    manifest, _ = process_and_pack(fake)
    assert manifest["fingerprints"] == {"blake2b": 3, "blake2b-sampled": 12}
    manifest, changed = process_and_pack(fake, whole_checksums=True)
    assert changed and manifest["fingerprints"] == {"blake2b": 15}
    # A whole fingerprint is better than a sampled one: it stays.
    assert process_and_pack(fake) == (manifest, False)


def test_missing_input_quarantines_its_unit_until_it_is_there(fake):
    file = fake / "fake" / "seq0" / "world.json"
    content = file.read_bytes()
    states(a_run(fake))
    os.rename(file, fake / "aside")
    found = fake_dataset.outcomes(a_run(fake))
    assert found["seq0"].error["reason"] == "file is missing"
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}
    file.write_bytes(content)
    assert states(a_run(fake))["seq0"] == {"crop": "kept"}  # what was made before still fits
    assert process.process(a_run(fake), ("crop",)).share == 0
