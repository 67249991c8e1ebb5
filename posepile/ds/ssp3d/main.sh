#!/usr/bin/env bash
# SSP-3D: 311 pictures of sportspersons with SMPL fits, silhouettes and 2D joints; for evaluation.
#
#   Sengupta, Budvytis, Cipolla: Synthetic Training for Accurate 3D Human Pose and Shape Estimation in
#   the Wild. BMVC 2020.
#   Licence: code MIT; rights in the pictures are not stated
#   https://github.com/akashsengupta1997/SSP-3D
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/ssp3d.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the pictures; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step ssp3d download  "$@"   # one archive from GitHub; says which body models belong where
posepile step ssp3d calibrate "$@"   # nothing to derive: one camera for all pictures
posepile step ssp3d process   "$@"   # all pictures: joints of the body models, crop, silhouette
posepile step ssp3d pack      "$@"   # one archive, a pickle, a manifest and a report
