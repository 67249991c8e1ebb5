#!/usr/bin/env bash
# GeneBody 1.0: 50 performers in a studio, 48 synchronised cameras, 150 frames each, SMPL-X fits, mattes.
#
#   Cheng, Xu, Piao, Qian, Wu, Lin, Li: Generalizable Neural Performer: Learning Robust Radiance Fields
#   for Human Novel View Synthesis. arXiv:2204.11798, 2022.
#   Licence: release agreement, non-commercial research only, no redistribution of images or derived data
#   https://generalizable-neural-performer.github.io/genebody.html
#   https://openxlab.org.cn/datasets/OpenXDLab/GeneBody       needs an account and a signed agreement:
#                                                             `posepile plan genebody` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.test10=true    any key of configs/genebody.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the views; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step genebody download  "$@"   # extracts what was put in place by hand, per-subject archives
posepile step genebody calibrate "$@"   # nothing to derive; compares SMPL-X with the published meshes
posepile step genebody process   "$@"   # per subject and view: select by motion, crop, warp the mask
posepile step genebody pack      "$@"   # one archive, a pickle, a manifest and a report
