#!/usr/bin/env bash
# 3DOH50K: 51,600 pictures of people behind objects, SMPL fitted to several calibrated views.
#
#   Zhang, Huang, Wang: Object-Occluded Human Shape and Pose Estimation From a Single Color Image.
#   CVPR 2020.
#   Licence: research, see the page
#   https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html   two archives, by browser
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/tdoh.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the pictures; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step tdoh download  "$@"   # says which archives to fetch by hand; extracted
posepile step tdoh calibrate "$@"   # labels are cut into pieces; says the fitted scales
posepile step tdoh process   "$@"   # per some pictures: camera, joints, crop, mask (training)
posepile step tdoh pack      "$@"   # one archive, a pickle, a manifest and a report
