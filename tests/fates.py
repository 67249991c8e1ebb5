"""What may become of a task: work for the executor's tests, light to import in a worker."""

import ctypes
import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading

from posepile.run.executor import Limits, progress, run_tasks

MB = 1_000_000
kept = []


def meet(task):
    """Does what the task says: a name of a function here and its arguments."""
    name, *args = task
    return globals()[name](*args)


def double(x):
    return 2 * x


def fail(message):
    raise ValueError(message)


def run_out():
    raise MemoryError


def leave(code):
    os._exit(code)


def ask_to_leave(code):
    sys.exit(code)


def send_myself(number):
    os.kill(os.getpid(), number)
    return "still here"


def send_myself_once(number, path):
    """Ends its worker, unless that was done before."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), number)
    return "done"


def read_nothing():
    print("the last words", file=sys.stderr)
    ctypes.string_at(0)


def hang_in_c():
    while True:
        ctypes.PyDLL(None).sleep(1000)  # does not give the interpreter's lock away


def hang_in_python():
    while True:
        pass


def go_on_until(path):
    while not os.path.exists(path):
        progress()


def eat(size):
    portions = []
    for _ in range(size // (4 * MB)):
        portions.append(b"x" * (4 * MB))


def eat_at_once(size):
    return len(bytes(size))  # zeros are reserved, not written: only the system can refuse them


def let_eat(size):
    code = f"x = b'x' * {size}; input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        process.wait()


def leave_behind(size):
    kept.append(b"x" * size)
    return os.getpid()


def leave_a_program(path):
    with open(path, "w") as file:
        subprocess.Popen(["sleep", "1000"], stdout=file)
    os._exit(1)


def say(words):
    print(words, file=sys.stderr)


def no_result():
    return threading.Lock()


def variables(*names):
    return [os.environ.get(name) for name in names]


def loaded(*names):
    return [name in sys.modules for name in names]


def surroundings():
    import cv2

    core, _ = resource.getrlimit(resource.RLIMIT_CORE)
    return os.getcwd(), cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"], core


def announce(path):
    os.write(1, b"at it\n")  # in one piece: processes share the pipe
    go_on_until(path)


def wait_there(folder, number, variable="WORKER"):
    """Tells that it has begun, goes on when nobody keeps the gate, and says where it was."""
    open(f"{folder}/begun-{number}-at-{os.environ[variable]}", "w").close()
    with open(f"{folder}/gate") as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)
    return os.environ[variable]


def keep_gate(folder):
    """Returns a file; tasks that wait in the folder go on when it is closed."""
    gate = open(f"{folder}/gate", "w")
    fcntl.flock(gate, fcntl.LOCK_EX)
    return gate


def tell_and_stay(path):
    """Writes a line into a pipe and never ends."""
    with open(path, "w") as pipe:
        pipe.write("at it\n")
    hang_in_c()


def lack_room_at(numbers, x):
    """Finds the disk full at some Dask workers."""
    if os.environ["WORKER"] in numbers:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")
    return x


def end_dask_worker():
    """Kills the Dask worker that has started the server which has forked this process."""
    import psutil

    psutil.Process(os.getppid()).parent().kill()
    hang_in_c()


def wait_as_job(folder, number):
    return wait_there(folder, number, "SLURM_JOB_ID")


def import_wave():
    import wave  # noqa: F401


def import_with_threads():
    import_wave()
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def import_what_is_missing():
    import_wave()
    import no_such_module  # noqa: F401


def initialize_badly():
    raise RuntimeError("no such luck")


def initialize_well():
    os.environ["INITIALIZED"] = "yes"


def run_for_ever(jobs):
    """A run that somebody else ends; its workers print a line each when they have begun."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tasks = [("announce", "/nonexistent")] * 10
    try:
        for _ in run_tasks(meet, tasks, jobs=jobs, limits=Limits(2**30, 1000)):
            pass
    except KeyboardInterrupt:
        print("interrupted")
