"""Stand-ins for sbatch, scancel and squeue: jobs are processes of this machine."""

import contextlib
import os
import signal
from pathlib import Path

SBATCH = """#!/bin/bash
# What is asked for is written down; a script that says so is refused.
script=$(cat -- "${@: -1}" 2>/dev/null || cat)
jobs="$FAKE_SLURM"
if grep -q -e "-p closed" <<<"$script"; then
  echo "sbatch: error: invalid partition specified: closed" >&2; exit 1
fi
if [ "$1" = --test-only ]; then echo "sbatch: Job 1 to start" >&2; exit 0; fi
number=1
set -o noclobber  # several are submitted at once
until { : > "$jobs/$number.script"; } 2>/dev/null; do number=$((number + 1)); done
set +o noclobber
printf '%s' "$script" > "$jobs/$number.script"
env > "$jobs/$number.environment"
log=$(sed -n 's/^#SBATCH -e //p' "$jobs/$number.script")
log="${log//%J/$number}"; log="${log:-$jobs/$number.log}"
setsid env SLURM_JOB_ID=$number bash "$jobs/$number.script" </dev/null >"$log" 2>&1 &
echo $! > "$jobs/$number.pid"
echo "Submitted batch job $number"
"""
SQUEUE = """#!/bin/bash
# The jobs that are asked for and run; of a single one that does not it knows nothing.
asked="${!#}"
for number in ${asked//,/ }; do
  kill -0 -- -"$(cat "$FAKE_SLURM/$number.pid")" 2>/dev/null && echo "$number RUNNING"
done
case "$asked" in *,*) exit 0 ;; esac
kill -0 -- -"$(cat "$FAKE_SLURM/$asked.pid")" 2>/dev/null && exit 0
echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1
"""
SCANCEL = """#!/bin/bash
for number in "$@"; do
  kill -- -"$(cat "$FAKE_SLURM/$number.pid")" 2>/dev/null
  touch "$FAKE_SLURM/$number.cancelled"
done
exit 0
"""


def end_all(jobs):
    """Ends all jobs, for tests that fail."""
    for file in jobs.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


def install(monkeypatch, folder):
    """Puts the stand-ins in front of PATH; returns the folder where the jobs are."""
    programs, jobs = folder / "bin", folder / "jobs"
    for made in (programs, jobs):
        made.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(jobs))
    path = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    return jobs
