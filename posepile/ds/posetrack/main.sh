#!/usr/bin/env bash
# PoseTrack18: 15 joints of people tracked through web videos; 593 videos to train, 170 to validate.
#
#   Andriluka, Iqbal, Insafutdinov, Pishchulin, Milan, Gall, Schiele: PoseTrack: A Benchmark for
#   Human Pose Estimation and Tracking. CVPR 2018          Licence: non-commercial research
#   https://posetrack.net                            login for the pictures, labels without
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.splits=[val]     any key of configs/posetrack.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step posetrack download  "$@"   # labels, extracted; says how to get the pictures
posepile step posetrack calibrate "$@"   # nothing to derive
posepile step posetrack process   "$@"   # per video: select by motion, find the people, crop
posepile step posetrack pack      "$@"   # one archive, a pickle, a manifest and a report
