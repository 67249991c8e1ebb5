#!/usr/bin/env bash
# UMPM: one to four people in a studio, four cameras at 50 fps, joint centres of one or two of them.
#
#   van der Aa, Luo, Giezeman, Tan, Veltkamp: Utrecht Multi-Person Motion (UMPM) benchmark: a multi-person dataset
#   with synchronized video and motion capture data for evaluation of articulated human motion and interaction.
#   HICV workshop at ICCV 2011; technical report UU-CS-2011-027, Utrecht University.
#   Licence: research, after registration
#   https://www2.projects.science.uu.nl/umpm/
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.views=[f,r]   any key of configs/umpm.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step umpm download  "$@"   # archives that a registered person fetches, extracted
posepile step umpm calibrate "$@"   # nothing to derive: cameras come calibrated
posepile step umpm process   "$@"   # per recording and view: packed videos to JPEG, select, detect, crop, segment
posepile step umpm pack      "$@"   # one archive, a pickle, a manifest and a report
