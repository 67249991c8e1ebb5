#!/usr/bin/env bash
# newdata: what it is, in one sentence.
#
#   Who is to be cited                                        Licence: not stated
#   where it is described                                     how large it is
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the same layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --set crop.jpeg_quality=90    any key of config.yaml
set -euo pipefail

# This folder counts as a dataset wherever it lies; PYTHON=... chooses another Python.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
POSEPILE_DATASETS="$(dirname "$here")${POSEPILE_DATASETS:+:$POSEPILE_DATASETS}"
export POSEPILE_DATASETS
posepile() {
  if [ -n "${PYTHON:-}" ]; then "$PYTHON" -m posepile "$@"
  elif type -P posepile > /dev/null; then command posepile "$@"
  else python3 -m posepile "$@"; fi
}

for word in "$@"; do
  case "$word" in -h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit
    ;;
  esac
done

posepile step newdata download  "$@"   # looks whether what sources.yaml names is in place
posepile step newdata calibrate "$@"   # nothing to derive
posepile step newdata process   "$@"   # per unit: select, crop, segment if asked for
posepile step newdata pack      "$@"   # one archive, a pickle, a manifest and a report
