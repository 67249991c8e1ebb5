"""The fuzzer finds each kind of fault, and every reader of files of others is a target of it."""

import ast
import ctypes
import os
import random
import sys
import time
import warnings
from dataclasses import replace

import pytest
from conftest import ROOT
from fuzzing import run, worker
from fuzzing.target import Target
from fuzzing.worker import Limits

from posepile.errors import CorruptInput

LIMITS = Limits(cpu_s=60, wall_s=60, memory=2**28)
SOON = replace(LIMITS, cpu_s=1)  # only for what hangs: the machine may be slow

# Public functions that take a path and parse no file, and why each is no target.
REASONS = {
    "the path is a place in messages": """
        formats.keys.by_key formats.keys.by_number formats.keys.only_one formats.schema.check
        formats.keys.splits_by_name
        formats.schema.lookup formats.pickles.refusals bodies.checks.check_bones
        bodies.checks.check_model_joints bodies.fitting.fit_bodies
        bodies.batches.alike_bodies bodies.batches.kind_of_body bodies.conversion.convert_bodies
        bodies.checks.check_up bodies.checks.check_standing bodies.parameters.body_parameters
        bodies.parameters.parameters_by_frame bodies.parameters.join_pose
        bodies.parameters.parameters_of_fit formats.mocap_files.points_in_mm""",
    "names in folders are looked at, no file is opened": """
        formats.folders.numbered_files formats.folders.names_like formats.folders.files_by_number
        formats.folders.check_numbers formats.folders.files_by_id
        formats.keys.alike formats.keys.by_name formats.folders.in_order
        formats.folders.check_start formats.folders.folders_holding
        formats.derived.work_folder formats.derived.derive_in bodies.amass.find_amass
        bodies.amass.AmassIndex bodies.fits.moved_fit bodies.models.find_body_model
        bodies.models.lacking_models bodies.models.parameters_note bodies.models.model_files
        bodies.models.models_below bodies.models.models_folder
        bodies.models.require_body_model""",
    "bytes of files are compared with those of others": "formats.folders.sort_out",
    "files are read by a function that is handed in": """
        formats.folders.read_in_order formats.derived.make_once""",
    "what is there is compared with what is to be written": "formats.derived.write_if_changed",
    "the body model is read by a function that is a target": "bodies.body25.fitted",
}
NO_TARGETS = {f"posepile.{name}" for names in REASONS.values() for name in names.split()}


# ---------------------------------------------------------------- what it can find


def sample(folder):
    (folder / "a.txt").write_bytes(bytes(range(200)))
    return [folder / "a.txt"]


def planted(use):
    """A target that reads the sample and other formats, and does something else with the rest."""

    def only_if_damaged(path, output):
        data = path.read_bytes()
        if 8 < len(data) and data[:8] == bytes(range(8)) and data != bytes(range(200)):
            return use(path, output)

    return Target("planted", sample, only_if_damaged, [lambda data, rng: data + rng.randbytes(3)])


def refuse(path, output):
    raise CorruptInput(path, "found 3; expected 4", hint="fetch it again")


def warn(path, output):
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def say_too_much(path, output):
    raise CorruptInput(path, "x" * 1500 + " ", hint="y" * 1500)


def hang(path, output):
    while True:
        pass


def hang_at_zeros(path, output):
    if path.read_bytes()[:3] == bytes(3):
        hang(path, output)


def wait_for_ever(path, output):
    time.sleep(1000)


def eat_memory(path, output):
    # Zeros nobody writes to: filling pages takes more seconds than a slow machine has here.
    return [bytes(2**24) for _ in range(10**5)]


def call_it_corrupt(path, output):
    try:
        bytearray(2**40)
    except MemoryError as e:
        raise CorruptInput(path, f"cannot be read: {type(e).__name__}") from None


def write_beside(path, output):
    path.with_name("new.txt").write_text("x")


def write_above(path, output):
    (output / "../canary.txt").write_text("x")


def change_the_input(path, output):
    path.write_bytes(b"")


def leave_something(path, output):
    import tempfile

    tempfile.mkstemp()


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda path, output: (output / "made").write_text("x"), "read"),
        (refuse, "refused"),
        (warn, "warned"),
        (lambda path, output: int("x"), "traceback"),
        (lambda path, output: sys.exit(3), "traceback"),
        (hang, "hang"),
        (wait_for_ever, "hang"),
        (eat_memory, "memory"),
        (call_it_corrupt, "memory"),
        (lambda path, output: ctypes.string_at(0), "crash"),
        (lambda path, output: os.abort(), "crash"),
        (write_beside, "outside"),
        (write_above, "outside"),
        (change_the_input, "outside"),
        (leave_something, "leftover"),
    ],
)
def test_each_kind_is_told(use, kind):
    target = planted(use)
    n = 1 if kind == "hang" else 3
    limits = SOON if use is hang else LIMITS
    limits = replace(limits, wall_s=2) if use is wait_for_ever else limits
    result = run.fuzz([target], n, limits=limits)["planted"]
    assert not result.broken
    assert dict(result.outcomes) == {kind: n}
    assert run.is_fault(target, kind) == (kind not in run.GOOD)


def test_several_lines_are_a_fault(monkeypatch):
    monkeypatch.setattr(CorruptInput, "__str__", lambda error: "one\ntwo")
    result = run.fuzz([planted(refuse)], 2, limits=LIMITS)["planted"]
    assert dict(result.outcomes) == {"many lines": 2}


def test_what_ends_one_unit_is_no_fault_where_a_child_process_reads():
    isolated = Target("x", sample, refuse, isolated=True)
    assert [kind for kind in run.FAULTS if run.is_fault(isolated, kind)] == [
        *("traceback", "many lines", "outside", "leftover")
    ]


def test_after_a_crash_the_others_are_tried(capsys):
    """Which inputs crash is no matter of chance, order or number of processes."""

    def use(path, output):
        if sum(path.read_bytes()) % 3 == 0:
            ctypes.string_at(0)
        raise ValueError("x")

    target = planted(use)
    found = [run.fuzz([target], 20, jobs=jobs, limits=LIMITS)["planted"] for jobs in (1, 2)]
    assert found[0].faults == found[1].faults
    assert sum(found[0].outcomes.values()) == 20
    assert found[0].outcomes["crash"] > 2 and found[0].outcomes["traceback"] > 2
    assert run.report([target], {"planted": found[0]}, seed=0) == 1
    said = capsys.readouterr().out
    assert "planted: crash: SIGSEGV (" in said and "traceback: ValueError at" in said


def test_what_is_known_is_told_where_it_is_stopped(monkeypatch):
    said = []

    def stop(connections, timeout):
        if len(said) == 3:
            raise SystemExit(143)
        said.append("waited")
        return wait(connections, timeout)

    wait = run.wait
    monkeypatch.setattr(run, "wait", stop)
    with pytest.raises(SystemExit):
        run.fuzz(
            [planted(lambda path, output: 1 / 0)], 300, jobs=1, limits=LIMITS, say=said.append
        )
    line, fault = said[3:]
    assert line.endswith("traceback, stopped") and "ZeroDivisionError" in fault


def test_samples_that_are_refused_are_no_success(capsys):
    target = Target("planted", sample, refuse)
    results = run.fuzz([target], 5, limits=LIMITS)
    assert "a.txt: refused" in results["planted"].broken
    assert run.report([target], results, seed=0) == 1
    assert "could not be tried" in capsys.readouterr().out
    result = run.fuzz([Target("planted", sample, hang_at_zeros)], 5, limits=SOON)["planted"]
    assert result.broken == "hang at a file that is not of the format: by the processor"


def test_the_first_input_of_each_fault_is_kept(tmp_path):
    def fail(path, output):
        raise ValueError

    target = planted(fail)
    run.fuzz([target], 3, seed=7, limits=LIMITS, keep=tmp_path / "kept")
    (kept,) = (tmp_path / "kept" / "planted").iterdir()
    data, _ = worker.damaged(target, sample(tmp_path), 7, 0)
    assert kept.name == "traceback-0-a.txt" and kept.read_bytes() == data


def test_beyond_the_first_check(tmp_path):
    def use(path, output):
        data = path.read_bytes()
        if data[:8] != bytes(range(8)):
            raise CorruptInput(path, f"begins with {data[:8]!r}")
        if len(data) < 200:
            raise CorruptInput(path, f"{len(data)} bytes; expected 200")
        if data != bytes(range(200)):
            raise CorruptInput(path, "another value")

    result = run.fuzz([Target("planted", sample, use)], 50, limits=LIMITS)["planted"]
    assert 20 < result.n_beyond < 50
    always = Target("planted", sample, use, [lambda data, rng: b"x" + data])
    assert run.fuzz([always], 50, limits=LIMITS)["planted"].n_beyond == 0


def test_the_head_decides_where_all_messages_are_the_same(tmp_path):
    def use(path, output):
        if path.read_bytes() != bytes(range(200)):
            raise CorruptInput(path, "cannot be decoded")

    def is_format(path):
        return path.read_bytes().index(bytes(range(8))) == 0  # a ValueError is a no, too

    target = Target("planted", sample, use, is_format=is_format)
    assert 20 < run.fuzz([target], 50, limits=LIMITS)["planted"].n_beyond < 50
    without = replace(target, is_format=None)
    assert run.fuzz([without], 50, limits=LIMITS)["planted"].n_beyond == 0


@pytest.mark.parametrize("name", ["png", "pictures", "onnx", "credentials", "netrc", "vrs"])
def test_heads_know_the_samples_and_no_junk(tmp_path, name):
    (target,) = [t for t in run.all_targets() if t.name == name]
    samples = target.samples(tmp_path)
    assert all(target.is_format(path) for path in samples)
    for junk in (b"", bytes(600), b"no such format\n" * 40):
        samples[0].write_bytes(junk)
        assert not worker._is_format(target, samples[0])


# ---------------------------------------------------------------- what it is used for


def test_all_targets_are_well(capsys):
    """A few inputs of each; ``make fuzz`` tries very many."""
    targets = run.all_targets()
    assert len({target.name for target in targets}) == len(targets)
    results = run.fuzz(targets, 5)
    status = run.report(targets, results, seed=0)
    said = capsys.readouterr().out
    assert status == 0, said
    n = sum(sum(result.outcomes.values()) for result in results.values())
    assert n == 5 * len(targets)
    assert sum(result.n_beyond for result in results.values()) > n / 2


def test_the_command_line(capsys):
    assert run.main(["json", "--inputs", "3", "--jobs", "1"]) == 0
    assert "json                        3" in capsys.readouterr().out
    assert run.main(["none"]) == 2
    assert "no target none; there are: " in capsys.readouterr().err


def takes_a_path(function):
    arguments = [*function.args.args, *function.args.kwonlyargs]
    return any(a.annotation and "Path" in ast.unparse(a.annotation) for a in arguments)


def readers(*rooms):
    """Public functions and classes of rooms that take a path -> file and first line of them."""
    found = {}
    for path in sorted(p for room in rooms for p in (ROOT / "posepile" / room).glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in inner:
                is_function = isinstance(function, ast.FunctionDef)
                if is_function and takes_a_path(function) and not node.name.startswith("_"):
                    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    found[f"{module}.{node.name}"] = str(path), function.name
    return found


def test_every_reader_is_a_target_or_named_with_a_reason(tmp_path):
    """A new reader without a target fails here; what the targets call is looked at."""
    called = set()

    def note(frame, event, argument):
        if event == "call":
            called.add((frame.f_code.co_filename, frame.f_code.co_name))

    for target in run.all_targets():
        folders = [tmp_path / target.name / name for name in ("samples", "output")]
        for folder in folders:
            folder.mkdir(parents=True)
        samples = target.samples(folders[0])
        sys.setprofile(note)
        try:
            for k, path in enumerate(samples):
                (folders[1] / str(k)).mkdir()
                target.use(path, folders[1] / str(k))
        finally:
            sys.setprofile(None)
    known = readers("formats", "bodies")
    missing = [name for name, place in known.items() if place not in called]
    without = sorted(set(missing) - NO_TARGETS)
    assert not without
    assert set(known) >= NO_TARGETS


def test_readers_are_found():
    found = readers("formats")
    assert found["posepile.formats.mocap_files.read_c3d"][1] == "read_c3d"
    place, name = found["posepile.formats.matlab_files.MatCells"]
    assert place.endswith("matlab_files.py") and name == "__init__"


def test_inputs_do_not_depend_on_those_before(tmp_path):
    """What a mutator puts into a tree is never changed for the next one."""
    from fuzzing import mutators_text

    before = repr(mutators_text.VALUES)
    for seed in range(300):
        mutators_text.change_json(b'{"a": [1, {"b": [2, 3]}], "c": {}}', random.Random(seed))
    assert repr(mutators_text.VALUES) == before
