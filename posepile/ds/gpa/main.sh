#!/usr/bin/env bash
# GPA: people among boxes, a chair and a stair, single pictures of five cameras, 34 joints.
#
#   Wang, Chen, Rathore, Shin, Fowlkes: Geometric Pose Affordance: 3D Human Pose with Scene Constraints.
#   arXiv:1905.07718, 2019.
#   Licence: none is stated; treat it as research only
#   https://wangzheallen.github.io/GPA.html
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.max_projection_px=2   any key of configs/gpa.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the pictures; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step gpa download  "$@"   # archives that a person fetches from a shared folder, extracted
posepile step gpa calibrate "$@"   # nothing to derive: joints are in the axes of their camera
posepile step gpa process   "$@"   # cut annotations into pieces; per camera: select, detect, crop
posepile step gpa pack      "$@"   # one archive, a pickle, a manifest and a report
