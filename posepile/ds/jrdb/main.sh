#!/usr/bin/env bash
# JRDB-Pose: 17 joints of people around a robot with five cameras; 27 training sequences.
#
#   Vendrow, Le, Cai, Rezatofighi: JRDB-Pose: A Large-Scale Dataset for Multi-Person Pose Estimation
#   and Tracking. CVPR 2023.       Licence: non-commercial research
#   https://jrdb.erc.monash.edu                   login; pictures and labels of the section JRDB 2022
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant wide     a second build beside the main one, with settings of its own
#   --set dataset.pictures=panoramas   any key of configs/jrdb.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step jrdb download "$@"   # says what to fetch by hand
posepile step jrdb process  "$@"   # per sequence and camera: detect, crop
posepile step jrdb pack     "$@"   # one archive, a pickle, a manifest and a report
