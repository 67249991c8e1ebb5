#!/usr/bin/env bash
# AGORA: 5 to 15 rendered scans of people in each of 19,000 pictures, SMPL and SMPL-X fits.
#
#   Patel, Huang, Tesch, Hoffmann, Tripathi, Black: AGORA: Avatars in Geography Optimized for
#   Regression Analysis. CVPR 2021.
#   Licence: research, registration
#   https://agora.is.tue.mpg.de               account needed; `posepile plan agora` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/agora.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the pictures; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step agora download  "$@"   # with your account: pictures, masks, frames, fits; extracted
posepile step agora calibrate "$@"   # nothing to derive: cameras are told by file names
posepile step agora process   "$@"   # per some pictures: box and mask of every person, crop
posepile step agora pack      "$@"   # one archive, a pickle, a manifest and a report
