#!/usr/bin/env bash
# ASPset-510: outdoor sports poses, 17 subjects x 30 clips, 3 static 4K cameras, 50 fps, 17 joints.
#
#   Nibali, Millward, He, Morgan: ASPset: An Outdoor Sports Pose Video Dataset With 3D Keypoint
#   Annotations. Image and Vision Computing 2021.             Licence: CC0 1.0 (public domain)
#   https://archive.org/details/aspset510                     about 24 GB to download, no login
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/aspset.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the clips; afterwards run
#   main.sh --stage pack
# Scores of predictions: posepile eval aspset --pred-path predictions/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step aspset download  "$@"   # nine archives, resumed and verified by MD5, then extracted
posepile step aspset calibrate "$@"   # nothing to derive: cameras come as pinhole matrices
posepile step aspset process   "$@"   # per clip and view: select by motion, crop, segment
posepile step aspset pack      "$@"   # one archive, a pickle, a manifest and a report
