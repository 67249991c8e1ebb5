"""How a process ended, and whether the machine rather than its work is to blame for that."""

from __future__ import annotations

import os
import signal

from posepile.shortage import AGAIN, shortage_by_limit

KILLED = "(SIGKILL)"  # by the system, when memory runs out, or by somebody


def how_ended(status: int) -> str:
    """Returns the end of a process as part of a sentence.

    >>> how_ended(9), how_ended(3 << 8)
    ('ended with signal 9 (SIGKILL)', 'ended with exit code 3')

    Args:
        status: What ``os.waitpid`` says.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    return f"ended with signal {-code} ({name})"


def shortage_by_end(how: str, memory_bytes: int | None) -> str | None:
    """Returns what the machine lacked when a process ended; None if its work is to blame.

    Args:
        how: From :func:`how_ended`.
        memory_bytes: What the process may have needed; None: nothing is known of that.
    """
    if KILLED in how:
        return f"the system kills workers when memory runs out; {AGAIN.format('see to that')}"
    return shortage_by_limit(memory_bytes)
