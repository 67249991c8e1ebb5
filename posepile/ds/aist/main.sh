#!/usr/bin/env bash
# AIST++: street dance of 30 dancers, nine calibrated cameras at 60 Hz, joints by triangulation.
#
#   Li, Yang, Ross, Kanazawa: AI Choreographer: Music Conditioned 3D Dance Generation with AIST++.
#   ICCV 2021; Tsuchida, Fukayama, Hamasaki, Goto: AIST Dance Video Database. ISMIR 2019.
#   Licence: annotations CC BY 4.0; videos under the AIST Terms of Use (research, non-commercial)
#   https://google.github.io/aistplusplus_dataset      2.3 GB of labels, no login; videos: accept the terms
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[d04]    any key of configs/aist.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step aist download  "$@"   # the labels; says how to get the videos
posepile step aist calibrate "$@"   # nothing to derive: cameras come with the labels
posepile step aist process   "$@"   # per video: select by motion, crop, segment
posepile step aist pack      "$@"   # one archive, a pickle, a manifest and a report
