#!/usr/bin/env bash
# Ego-Exo4D: skilled activities filmed by the glasses of the person doing them and by 4-5 GoPros;
# 17 body and 2 x 21 hand joints of that person, manual and automatic labels.
#
#   Grauman et al.: Ego-Exo4D: Understanding Skilled Human Activity from First- and Third-Person
#   Perspectives. CVPR 2024, arXiv:2311.18259.         Licence: signed agreement, no redistribution
#   https://ego-exo4d-data.org     https://docs.ego-exo4d-data.org     38 TB in all; 149 GB of
#   labels, and by default the videos of every fifth take (posepile plan egoexo4d)
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.ego=true        any key of configs/egoexo4d.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards
# run main.sh --stage pack
# Scores of predictions: posepile eval egoexo4d.body --pred-path pred.json, and egoexo4d.hand
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step egoexo4d download  "$@"   # through the official egoexo program; needs AWS keys
posepile step egoexo4d calibrate "$@"   # says what is on disk; lenses are recovered on loading
posepile step egoexo4d process   "$@"   # per video: select by motion, crop
posepile step egoexo4d pack      "$@"   # one archive, a pickle, a manifest and a report
