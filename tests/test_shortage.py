"""What is said of a file and what of the machine, whatever a library makes of it."""

import errno
import os
import pickle
import queue
import resource
import sqlite3
import threading

import av
import cv2
import pytest

from posepile import cli, shortage
from posepile.acquire import workers
from posepile.errors import CorruptInput, Shortage, UsageError, WorkError, raise_if_shortage
from posepile.files import disk_error, read_json
from posepile.formats.text_files import read_csv
from posepile.imaging.declared import read_picture
from posepile.imaging.whole import segment_end
from posepile.run.watching import stamp

FULL = sqlite3.OperationalError("database or disk is full")
OF_THE_MACHINE = [
    OSError(errno.ENOSPC, "No space left on device", "/x"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EROFS, "Read-only file system"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    av.error.OSError(errno.EMFILE, "Too many open files"),
    FULL,
]
OF_MEMORY = [
    MemoryError(),
    MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"),
    ValueError("Insufficient memory (case 4)"),  # simplejpeg
    cv2.error("(-4:Insufficient memory) Failed to allocate 9000000 bytes"),
    RuntimeError("std::bad_alloc"),
    SystemError("error return without exception set"),
    ImportError("libopenblas.so: failed to map segment from shared object"),
]
OF_HANDLES = [  # texts without a number
    OSError("Unable to open file (errno = 24, error message = 'Too many open files')"),  # h5py
    ValueError("could not convert string to float: 'too many open files'"),
    RuntimeError("not allowed: too many open files.x"),
]
OF_THREADS = [
    RuntimeError("can't start new thread"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
]
OF_A_FILE = [
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    PermissionError(errno.EACCES, "Permission denied"),
    av.error.InvalidDataError(1094995529, "Invalid data found when processing input"),
    av.error.OSError(errno.EIO, "Input/output error"),  # FFmpeg, of a file that is cut off
    ValueError("Not a JPEG file"),
    sqlite3.DatabaseError("file is not a database"),
    sqlite3.OperationalError("no such column: readonly"),
    sqlite3.IntegrityError("database or disk is full"),  # said by a trigger in the file
    RuntimeError("can't start new thread: b.mp4"),
    EOFError(),
]


def made_while_handling(error, kind=CorruptInput, wrapped=False):
    """The error that is made of a library's."""
    try:
        try:
            try:
                raise error
            except Exception as e:
                if wrapped:
                    raise KeyError("x") from e
                raise
        except Exception:
            raise kind("a.mp4", "cannot be read") from None
    except Exception as found:
        return found


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr(shortage, "_can_reserve", lambda size: False)


@pytest.fixture
def no_threads(monkeypatch):
    def start(function, args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(shortage, "start_new_thread", start)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("error", OF_THE_MACHINE, ids=repr)
def test_what_the_machine_lacks_is_no_fault_of_a_file(error, wrapped):
    found = made_while_handling(error, wrapped=wrapped)
    assert isinstance(found, Shortage) and not isinstance(found, WorkError)
    assert str(found).startswith("a.mp4: cannot be read: ") and "run again" in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize("kind", [WorkError, UsageError])
def test_every_error_of_ours_is_asked(kind):
    assert isinstance(made_while_handling(OSError(errno.EMFILE, "x"), kind), Shortage)
    assert isinstance(made_while_handling(OSError(errno.ENOENT, "x"), kind), kind)


@pytest.mark.parametrize("error", OF_MEMORY, ids=repr)
def test_lack_of_memory_is_the_machines_where_there_is_none(error, no_memory):
    found = made_while_handling(error)
    assert isinstance(found, Shortage) and "not enough memory" in str(found)


@pytest.mark.parametrize("error", OF_MEMORY, ids=repr)
def test_who_asks_for_more_than_there_may_be_is_to_blame(error):
    found = made_while_handling(error)
    assert isinstance(found, CorruptInput) and str(found) == "a.mp4: cannot be read"


@pytest.mark.parametrize("kind", [CorruptInput, WorkError])
@pytest.mark.parametrize("error", OF_HANDLES, ids=repr)
def test_words_of_handles_count_where_there_are_none(error, kind, monkeypatch):
    """The words may be those of the file: a cell of a table, a name in a pickle."""
    assert type(made_while_handling(error, kind)) is kind
    monkeypatch.setattr(shortage, "_lack_of_handles", shortage._handles)
    assert "too many open files: ulimit -n" in str(made_while_handling(error, kind))


def test_a_table_that_speaks_of_files(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x\ntoo many open files\n")
    with pytest.raises(CorruptInput, match=r"a\.csv"):
        read_csv(file, {"x": float})


@pytest.mark.parametrize("error", OF_THREADS, ids=repr)
def test_lack_of_threads_is_the_machines(error, no_threads):
    assert "no thread or process could be started" in str(made_while_handling(error))


@pytest.mark.parametrize("error", OF_A_FILE, ids=repr)
def test_what_is_wrong_with_a_file_stays_its_fault(error):
    assert isinstance(made_while_handling(error), CorruptInput)


def test_what_could_be_either_is_held_against_what_there_is(tmp_path, no_memory):
    there = tmp_path / "a.jpg"
    there.write_bytes(b"x")
    assert isinstance(CorruptInput(there, "not a readable image"), Shortage)
    assert isinstance(CorruptInput(tmp_path / "b.jpg", "file is missing"), CorruptInput)
    with pytest.raises(Shortage, match=r"a\.jpg: not enough memory"):
        raise_if_shortage(there, ValueError("bad data"))
    assert raise_if_shortage(there, FileNotFoundError()) is None


def test_memory_that_was_there_at_the_most_counts(tmp_path, monkeypatch):
    """What a decoder could not get is free again when its answer is judged."""
    there = tmp_path / "a.jpg"
    there.write_bytes(b"x")
    peak = shortage.vm_bytes("VmPeak")
    monkeypatch.setattr(shortage, "_soft", lambda kind: peak + shortage.GiB // 2)
    assert isinstance(CorruptInput(there, "not a readable image"), Shortage)
    monkeypatch.setattr(shortage, "_soft", lambda kind: peak + 2 * shortage.GiB)
    assert isinstance(CorruptInput(there, "not a readable image"), CorruptInput)


def test_bookkeeping_that_cannot_be_read_is_not_taken_for_absent(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    assert read_json(file) is None
    file.write_text("{")
    assert read_json(file) is None

    def refuse(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr("posepile.files.open_regular", refuse)
    with pytest.raises(Shortage, match=r"x\.json: too many open files: ulimit -n"):
        read_json(file)


def test_sqlite_that_cannot_open_may_lack_file_handles(monkeypatch):
    error = sqlite3.OperationalError("unable to open database file")
    assert isinstance(made_while_handling(error, WorkError), WorkError)
    monkeypatch.setattr(shortage, "SPARE_FILES", 1_000_000)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        found = made_while_handling(error, WorkError)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert isinstance(found, Shortage) and "too many open files" in str(found)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_silently_is_not_waited_for(monkeypatch):
    class Full(queue.SimpleQueue):
        def put(self, item):
            raise MemoryError

    monkeypatch.setattr(queue, "SimpleQueue", Full)
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.01)
    with pytest.raises(MemoryError, match="without a word"):
        workers.run_tasks([workers.Task("x", lambda: None)], workers.Stop(), at_once=1)


def test_no_thread_begins_that_might_find_no_memory_to_begin_with(monkeypatch):
    """``Thread.start`` would wait for it for ever."""
    monkeypatch.setattr(shortage, "_can_reserve", lambda size: False)
    with pytest.raises(MemoryError, match="stacks of threads"):
        workers.run_tasks([workers.Task("x", lambda: None)], workers.Stop(), at_once=1)


def test_an_interpreter_without_memory_answers_in_one_line(monkeypatch, capsys, no_memory):
    """Half-made objects and half-imported modules lack attributes."""

    def lack(args):
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr(cli, "cmd_list", lack)
    with pytest.raises(SystemExit) as end:
        cli.main(["list"])
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("posepile: not enough memory") and said.count("\n") == 1


def test_threads_are_not_started_where_they_could_not_begin(no_memory):
    with pytest.raises(MemoryError):
        shortage.require_memory_for_threads(2)


def test_a_shortage_survives_the_way_back_from_a_worker():
    error = made_while_handling(OSError(errno.EMFILE, "x"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    error = CorruptInput("a", "b", frame=3, hint="c")
    assert str(pickle.loads(pickle.dumps(error))) == "a, frame 3: b; c"
    error = WorkError("a: b")
    error.place = "c"
    assert vars(pickle.loads(pickle.dumps(error))) == {"place": "c"}


def test_who_takes_an_error_out_of_a_worker_does_not_judge_it_again(tmp_path, no_memory):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.MonkeyPatch.context() as enough:
        enough.setattr(shortage, "_can_reserve", lambda size: True)
        error = CorruptInput(tmp_path / "a.jpg", "b", frame=3, hint="c")
    sent = pickle.dumps(error)
    try:
        raise OSError(errno.EMFILE, "x")
    except OSError:
        found = pickle.loads(sent)
    assert type(found) is CorruptInput and vars(found) == vars(error)
    assert str(found) == str(error)


def test_arguments_by_keyword(tmp_path):
    error = CorruptInput(file=tmp_path / "a", reason="b")
    assert str(error) == f"{tmp_path / 'a'}: b"
    with pytest.raises(TypeError, match="reason"):
        CorruptInput("a")


@pytest.mark.parametrize(
    ("number", "limit", "todo"),
    [
        (errno.EFBIG, 5_000_000, "raise ulimit -f (it lets a file have 5 MB) and run again"),
        (errno.EFBIG, None, "use a file system that takes files of that size and run again"),
        (errno.ENFILE, 7, "in the whole system (its limit is fs.file-max)"),
        (errno.EMFILE, 7, "ulimit -n lets a process have 7"),
    ],
)
def test_every_shortage_has_advice_of_its_own(tmp_path, monkeypatch, number, limit, todo):
    monkeypatch.setattr(shortage, "_soft", lambda kind: limit)
    error = OSError(number, os.strerror(number))
    said = str(made_while_handling(error, WorkError))
    assert todo in said and "make room" not in said
    if number == errno.EFBIG:
        said = str(disk_error(error, tmp_path / "x"))
        assert todo in said and "make room" not in said


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("read", [read_picture, segment_end, stamp])
def test_a_file_that_the_disk_withholds_is_not_taken_for_absent(
    tmp_path, monkeypatch, read, number
):
    file = tmp_path / "a.mkv"
    assert read(file) is None
    file.write_bytes(b"x")

    def refuse(path, *args, **kwargs):
        raise OSError(number, os.strerror(number), os.fspath(path))

    monkeypatch.setattr("posepile.run.watching._stat", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Shortage, match=r"a\.mkv: .*see to the disk"):
        read(file)


def test_threads_that_look_for_memory_leave_the_limit_as_it_was(monkeypatch):
    """Each raises the limit of the whole process for a moment."""
    state = {"now": (7, 9)}
    entered = threading.Event()

    def set_limit(kind, pair):
        state["now"] = pair

    def get_limit(kind):
        return state["now"]

    def reserve(*args, **kwargs):
        if threading.current_thread() is first:
            second.start()
            entered.wait(0.2)  # in vain where one waits for the other
        else:
            entered.set()
            first.join()
        raise MemoryError

    monkeypatch.setattr(resource, "setrlimit", set_limit)
    monkeypatch.setattr(resource, "getrlimit", get_limit)
    monkeypatch.setattr(shortage.mmap, "mmap", reserve)
    first, second = (threading.Thread(target=shortage._can_reserve, args=(1,)) for _ in range(2))
    first.start()
    first.join()
    second.join()
    assert state["now"] == (7, 9)
