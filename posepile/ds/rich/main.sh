#!/usr/bin/env bash
# RICH: people in six scanned scenes before up to eight 4K cameras, SMPL-X fits, contact with the scene.
#
#   Huang, Yi, Höschle, Safroshkin, Alexiadis, Polikovsky, Scharstein, Black: Capturing and Inferring
#   Dense Full-Body Human-Scene Contact. CVPR 2022.
#   Licence: non-commercial research, registration
#   https://rich.is.tue.mpg.de               account needed; `posepile plan rich` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/rich.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the views; afterwards run
#   main.sh --stage pack
# Evaluation: posepile eval rich.body --pred-path predictions/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step rich download  "$@"   # with your account: pictures, fits, calibration; extracted
posepile step rich calibrate "$@"   # nothing to derive: each camera has a file
posepile step rich process   "$@"   # per recording and view: select by motion, detect, crop, masks
posepile step rich pack      "$@"   # one archive, a pickle, a manifest and a report
