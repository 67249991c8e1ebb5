#!/usr/bin/env bash
# 3DPW: 60 sequences of one or two people outdoors, a hand-held moving phone, SMPL poses from worn sensors.
#
#   von Marcard, Henschel, Black, Rosenhahn, Pons-Moll: Recovering Accurate 3D Human Pose in The Wild Using
#   IMUs and a Moving Camera. ECCV 2018.
#   Licence: research, https://virtualhumans.mpi-inf.mpg.de/3DPW/license.html
#   https://virtualhumans.mpi-inf.mpg.de/3DPW/    open; `posepile plan tdpw` says where the SMPL models go
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.splits=[test]    any key of configs/tdpw.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the sequences; afterwards run
#   main.sh --stage pack
# Scores of predictions: posepile eval tdpw --pred-path ...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step tdpw download  "$@"   # pictures and annotations
posepile step tdpw calibrate "$@"   # nothing to derive: cameras are in the annotations
posepile step tdpw process   "$@"   # per sequence: every valid frame of every person, crop
posepile step tdpw pack      "$@"   # one archive, a pickle, a manifest and a report
