# shellcheck shell=bash
# Sourced by every main.sh: `posepile` is the package that this file belongs to, run by the Python
# of its checkout's .venv or of the environment it is installed in. Set PYTHON to use another one.

_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
if [ -z "${PYTHON:-}" ]; then
  case "$_root" in
    */site-packages) PYTHON="$_root/../../../bin/python" ;;
    *) PYTHON="$_root/.venv/bin/python" ;;
  esac
  [ -x "$PYTHON" ] || PYTHON=python3
fi
posepile() { PYTHONPATH="$_root${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -m posepile "$@"; }

# What is said at its top is the help of a main.sh.
for _word in "$@"; do
  case "$_word" in -h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[1]}"
    exit
    ;;
  esac
done
