#!/usr/bin/env bash
# CHI3D: pairs of people in contact before four cameras, one of them with markers, SMPL-X fits.
#
#   Fieraru, Zanfir, Oneata, Popa, Olaru, Sminchisescu: Three-Dimensional Reconstruction of Human Interactions.
#   CVPR 2020.
#   Licence: academic use, on request
#   https://ci3d.imar.ro                  a person asks for access; `posepile plan chi3d` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/chi3d.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step chi3d download  "$@"   # extracts the archives that you have put in place
posepile step chi3d calibrate "$@"   # nothing to derive: every video has a file with its camera
posepile step chi3d process   "$@"   # per action and camera: select by motion, detect, crop, masks
posepile step chi3d pack      "$@"   # one archive, a pickle, a manifest and a report
