#!/usr/bin/env bash
# Halpe-FullBody: 136 joints of body, feet, face and hands; training photographs of HICO-DET.
#
#   Fang, Li, Tang, Xu, Zhu, Xiu, Li, Lu: AlphaPose: Whole-Body Regional Multi-Person Pose Estimation
#   and Tracking in Real-Time. TPAMI 2022.     Licence: not stated; photographs of HICO-DET
#   https://github.com/Fang-Haoshu/Halpe-FullBody
#
# Annotations and photographs come from Google Drive or Baidu, by hand (posepile plan halpe).
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.min_side=200   any key of configs/halpe.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step halpe download  "$@"   # says where annotations and photographs come from; extracts
posepile step halpe calibrate "$@"   # cut the one big annotation file into pieces for the workers
posepile step halpe process   "$@"   # per some hundred photographs: check, crop
posepile step halpe pack      "$@"   # one archive, a pickle, a manifest and a report
