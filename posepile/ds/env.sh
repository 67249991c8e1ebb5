# Sourced by every main.sh: `posepile` is the command of this checkout's environment, if it has one.
# Set PYTHON to use another interpreter.

_here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
if [ -z "${PYTHON:-}" ]; then
  if [ -x "$_here/.venv/bin/python" ]; then PYTHON="$_here/.venv/bin/python"; else PYTHON=python3; fi
fi
posepile() { PYTHONPATH="$_here${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -m posepile "$@"; }
