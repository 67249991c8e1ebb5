#!/usr/bin/env bash
# HUMBI, body sessions: 772 people in everyday clothes inside a ring of 107 GoPros, SMPL fits.
#
#   Yu, Yoon, Lee, Venkatesh, Park, Yu, Park: HUMBI: A Large Multiview Dataset of Human Body
#   Expressions. CVPR 2020.
#   Licence: HUMBI terms, research
#   https://humbi-data.net    on request; `posepile plan humbi` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[1,88]    any key of configs/humbi.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the instants; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step humbi download  "$@"   # archives that you have put into archives/, and weights
posepile step humbi calibrate "$@"   # units and axes in the median over the subjects
posepile step humbi process   "$@"   # per instant: box of the person in every picture, crop, mask
posepile step humbi pack      "$@"   # one archive, a pickle, a manifest and a report
