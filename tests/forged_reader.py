"""Reads one forged file in a process of its own; prints what the reader said.

``python forged_reader.py read|dataset|fuzz ARGUMENTS`` prints ``refused: MESSAGE`` or ``accepted``
and exits 0, unless something of the process was altered (exit 3) or another error came out.
"""

import collections
import copyreg
import inspect
import os
import random
import resource
import sys
import types

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from numpy._core import multiarray, numeric

from posepile.errors import CorruptInput, WorkError
from posepile.formats import numpy_files, pickled_values, pickles

MEMORY = 1536 * 2**20
CPU_SECONDS = 30


def limit():
    # The soft limit of data: too little address space is a lack of the machine.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fingerprint():
    """What a pickle must not alter: functions and classes of the modules that it may name."""
    found = {}
    modules = [types, collections, copyreg, np, multiarray, numeric, pickles, pickled_values]
    modules += [m for n, m in sys.modules.items() if n.startswith(("posepile.", "deltacamera"))]
    for module in modules:
        for name, value in vars(module).items():
            key = f"{module.__name__}.{name}"
            if inspect.isfunction(value):
                found[key] = (
                    value.__code__,
                    value.__defaults__,
                    value.__name__,
                    repr(vars(value)),
                )
            elif inspect.isclass(value):
                found[key] = {
                    k: id(v) for k, v in vars(value).items() if k not in ("__abstractmethods__",)
                }
    double = np.dtype("f8")
    found["f8"] = double.str, double.itemsize, double.flags, np.arange(3.0).tobytes()
    return found


def read(path):
    if path.endswith(".npy"):
        return numpy_files.load_npy(path)
    if path.endswith(".npz"):
        return numpy_files.load_npz(path)
    return pickles.read_pickle(path)


def touch(value, depth=0):
    """Looks at all of a value, as a reader would."""
    if isinstance(value, np.ndarray):
        if value.size < 10**5:
            value.tolist()
            repr(value)
    elif isinstance(value, dict):
        for k, v in list(value.items())[:1000]:
            touch(k, depth + 1)
            touch(v, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for v in list(value)[:1000]:
            touch(v, depth + 1)
    elif hasattr(value, "toarray") and np.prod(value.shape) < 10**5:
        value.toarray()


def one(load, *args):
    """Prints what became of a file."""
    before = fingerprint()
    try:
        touch(load(*args))
        said = "accepted"
    except (CorruptInput, WorkError) as e:
        said = f"refused: {e}"
    after = fingerprint()
    if any(after[key] != value for key, value in before.items()):
        print("altered:", [key for key, value in before.items() if after[key] != value])
        sys.exit(3)
    print(said)


def mutated(data, rng, others):
    """Data with a few changes of the kinds that a forger or a bad disk makes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        i = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[i % len(data)] = rng.randrange(256)
        elif kind == 1 and data:
            data[i % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[i : i + rng.randrange(1, 9)]
        elif kind == 3:
            j = rng.randrange(len(data) + 1)
            data[i:i] = data[j : j + rng.randrange(1, 40)]
        elif kind == 4:
            other = rng.choice(others)
            j = rng.randrange(len(other))
            data[i:i] = other[j : j + rng.randrange(1, 60)]
        elif kind == 5:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**62)) % 256**size
            data[i : i + size] = number.to_bytes(size, "little")
        elif kind == 6:
            opcodes = b"0123()[]{}.abdehjloqrstuRbB\x81\x82\x85\x86\x87\x88\x8f\x90\x91\x93\x94QP"
            data[i:i] = bytes(rng.choices(opcodes, k=rng.randrange(1, 6)))
        else:
            data = data[: i + 1]
    return bytes(data)


def fuzz(folder, n, seed):
    """Reads mutants of all files of a folder; the last one is left in ``last`` for the finder."""
    rng = random.Random(int(seed))
    names = sorted(os.listdir(folder))
    seeds = [open(os.path.join(folder, name), "rb").read() for name in names]
    before = fingerprint()
    counts = {"accepted": 0, "refused": 0}
    for k in range(int(n)):
        i = rng.randrange(len(names))
        data = mutated(seeds[i], rng, seeds)
        suffix = os.path.splitext(names[i])[1]
        path = os.path.join(os.path.dirname(folder), f"last{suffix}")
        with open(path, "wb") as f:
            f.write(data)
        try:
            touch(read(path))
            counts["accepted"] += 1
        except CorruptInput as e:
            assert "\n" not in str(e), (k, str(e))
            counts["refused"] += 1
    after = fingerprint()
    assert all(after[key] == value for key, value in before.items()), "the process was altered"
    print(counts["accepted"], counts["refused"])


def main(command, *args):
    if command == "dataset":
        from posepile import datasets2d, datasets3d  # noqa: F401
        from posepile.store import restricted_pickle

        limit()
        one(restricted_pickle.load, *args)
        return
    limit()
    if command == "fuzz":
        fuzz(*args)
    else:
        one(read, *args)


if __name__ == "__main__":
    main(*sys.argv[1:])
