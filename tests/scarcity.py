"""A process with everything imported, which forks to do a step in want of something.

Run as a program it takes orders as lines of JSON and answers each with the exit code. Forking
takes milliseconds where a new process would take seconds to import what a step needs; and the
limits are so much above what is in use by then, whatever that is on a machine.
"""

import errno
import faulthandler
import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60  # of an order; a hang is longer
WRITES = os.O_WRONLY | os.O_RDWR
MAKING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate")


@dataclass
class Kitchen:
    """The process that takes orders."""

    process: subprocess.Popen
    folder: Path

    def cook(self, words, want=None, **environment):
        """Runs a command in want of something; returns exit code, stdout and stderr."""
        order = {"words": words, "want": want, "environment": environment, "seconds": SECONDS}
        outputs = [self.folder / "stdout", self.folder / "stderr"]
        order["outputs"] = [str(p) for p in outputs]
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        out, said = (p.read_text() for p in outputs)
        assert "Timeout (" not in said, f"{words} in want of {want} hangs:\n{said}"
        return code, out, said


def start(folder, environment):
    """Returns the process, started."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return Kitchen(process, folder)


# ---------------------------------------------------------------- what may be lacking


def memory(megabytes):
    """Lets the process have so much more than it has."""
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    limit = now + int(megabytes * 1_000_000)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def handles(count):
    """Lets the process open so many more files than it has open."""
    limit = len(os.listdir("/proc/self/fd")) - 1 + count
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def file_size(size):
    """Lets no file become larger than so many bytes: a full disk, for all that writes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def disk(name, below, action, skip=0):
    """Has the system refuse to open files below a folder, for ``writing`` or ``reading``."""
    number, left = getattr(errno, name), [skip]

    def hook(event, args):
        if event == "open":
            path, mode, flags = args
            writes = bool((flags or 0) & WRITES) or bool(set(mode or "") & set("wax+"))
            refused = writes == (action == "writing")
        else:
            path, refused = args[0] if args else None, event in MAKING and action == "writing"
        if refused and isinstance(path, (str, os.PathLike)):
            if os.path.abspath(path).startswith(below):
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(number, os.strerror(number), os.fspath(path))

    sys.addaudithook(hook)


# ---------------------------------------------------------------- the process


def fetch(path, root):
    """Downloads and extracts what a sources.yaml lists, as the command would."""
    from posepile.acquire.download import run_download

    run_download("x", path, root, log=lambda line: None, sleep=lambda seconds: None)


def serve():
    """Takes orders until there are no more."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    cli = importlib.import_module("posepile.cli")
    importlib.import_module("posepile.acquire.download")
    for module in ("py7zr", "pyzipper", "posepile.report", "posepile.run.commands", "joblib"):
        importlib.import_module(module)
    importlib.import_module("posepile.run.unit").import_all("aspset")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _do(cli, json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.__stdout__, flush=True)


def _do(cli, order):
    code = 70
    try:
        for fd, path in enumerate(order["outputs"], 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
        os.environ.update(order["environment"])
        faulthandler.dump_traceback_later(order["seconds"], exit=True)
        if order["words"][0] == "fetch":
            # as a command, so that errors and exceptions become what a user sees
            words = order["words"][1:]
            cli.cmd_list = lambda args: fetch(*words)
            order["words"] = ["list"]
        if order["want"]:
            name, *args = order["want"]
            globals()[name](*args)
        cli.main(order["words"])
    except SystemExit as e:
        code = e.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
