#!/usr/bin/env bash
# MPII Human Pose: 16 joints of people in frames of web videos; 25k pictures, 40k people.
#
#   Andriluka, Pishchulin, Gehler, Schiele: 2D Human Pose Estimation: New Benchmark and State of the
#   Art Analysis. CVPR 2014       Licence: Simplified BSD (annotations), research
#   http://human-pose.mpi-inf.mpg.de        12 GB of pictures, no login
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.people=single     any key of configs/mpii.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step mpii download  "$@"   # pictures and annotations, resumed, extracted
posepile step mpii calibrate "$@"   # cut the one MATLAB file into pieces for the workers
posepile step mpii process   "$@"   # per some hundred pictures: find the people, crop
posepile step mpii pack      "$@"   # one archive, a pickle, a manifest and a report
