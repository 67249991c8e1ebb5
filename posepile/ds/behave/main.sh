#!/usr/bin/env bash
# BEHAVE: people with objects before four Azure Kinects, SMPL-H fits once a second.
#
#   Bhatnagar, Xie, Petrov, Sminchisescu, Theobalt, Pons-Moll: BEHAVE: Dataset and Method for Tracking
#   Human Object Interactions. CVPR 2022.
#   Licence: non-commercial research; faces are blurred in publications
#   https://virtualhumans.mpi-inf.mpg.de/behave/    open; downloading accepts the licence
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[Sub01]    any key of configs/behave.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the recordings; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step behave download  "$@"   # pictures, masks, fits, calibrations, the split
posepile step behave calibrate "$@"   # nothing to derive: calibrations are published
posepile step behave process   "$@"   # per recording and view: poses that have moved, box, crop, mask
posepile step behave pack      "$@"   # one archive, a pickle, a manifest and a report
