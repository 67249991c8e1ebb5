#!/usr/bin/env bash
# MPI-INF-3DHP, all of its training takes: eight actors before 14 cameras in a green studio, 28 joints, every frame.
#
#   Mehta, Rhodin, Casas, Fua, Sotnychenko, Xu, Theobalt: Monocular 3D Human Pose Estimation In The Wild
#   Using Improved CNN Supervision. 3DV 2017
#   Licence: non-commercial research, no redistribution
#   http://gvv.mpi-inf.mpg.de/3dhp-dataset      no account needed
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[S1,S2]     any key of configs/tdhp_full.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the 224 views; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step tdhp_full download  "$@"   # 14 cameras of each take with masks: 60 GB; a link to the files of tdhp serves both
posepile step tdhp_full calibrate "$@"   # nothing to derive: cameras lie beside the takes
posepile step tdhp_full process   "$@"   # per take and camera: select by motion, find the people, crop, mask
posepile step tdhp_full pack      "$@"   # one archive, a pickle, a manifest and a report
