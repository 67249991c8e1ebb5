#!/usr/bin/env bash
# IKEA ASM: 48 people assembling furniture before three cameras, poses triangulated from detections.
#
#   Ben-Shabat, Yu, Saleh, Campbell, Rodriguez-Opazo, Li, Gould: The IKEA ASM Dataset: Understanding People
#   Assembling Furniture through Actions, Objects and Pose. WACV 2021.
#   Licence: of the dataset's page (CC BY-NC as others report)
#   https://ikeaasm.github.io        archives at Google Drive; `posepile plan ikea` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/ikea.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step ikea download  "$@"   # extracts the archives that you have put in place
posepile step ikea calibrate "$@"   # nothing to derive: one table has the cameras of all scenes
posepile step ikea process   "$@"   # per assembly and view: select by motion, detect, crop, masks
posepile step ikea pack      "$@"   # one archive, a pickle, a manifest and a report
