#!/usr/bin/env bash
# 3DPeople: 80 dressed people rendered in 70 motions each by four cameras, 640x480, 2 to 2.5 million images.
#
#   Pumarola, Sanchez, Choi, Sanfeliu, Moreno-Noguer: 3DPeople: Modeling the Geometry of Dressed Humans. ICCV 2019.
#   Licence: access on request; the terms are not published
#   https://cv.iri.upc-csic.es/   request access; plan lists the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/tdpeople.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the motions; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step tdpeople download  "$@"   # 48 archives that you were given access to, verified and extracted
posepile step tdpeople calibrate "$@"   # some 500 frames vote on the order of joints; refuses where they do not agree
posepile step tdpeople process   "$@"   # per motion and camera: pose of the camera, select by motion, crop, masks
posepile step tdpeople pack      "$@"   # one archive, a pickle, a manifest and a report
