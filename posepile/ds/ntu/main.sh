#!/usr/bin/env bash
# NTU RGB+D (60 and 120): clips of 120 actions before three Kinects at once, with the Kinect's skeletons; and the clips
# that SynthAct rendered after them, where they are in place.
#
#   Shahroudy, Liu, Ng, Wang: NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis. CVPR 2016
#   Liu, Shahroudy, Perez, Wang, Duan, Kot: NTU RGB+D 120. TPAMI 42(10), 2020
#   Schneider et al.: SynthAct: Towards Generalizable Human Action Recognition based on Synthetic Data. ICRA 2024
#   Licence: research only, no redistribution (ROSE Lab, NTU Singapore)
#   https://rose1.ntu.edu.sg/dataset/actionRecognition/      a form and an approval: `posepile plan ntu` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant xview    a second build beside the main one, with settings of its own
#   --set dataset.protocol=xview60    any key of configs/ntu.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the clips; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step ntu download  "$@"   # the official lists of missing skeletons; clips are put in place by hand
posepile step ntu calibrate "$@"   # compares configs/ntu_layout.yaml with the rendered clips, if there are any
posepile step ntu process   "$@"   # per clip: fit the camera, select by motion, crop, segment
posepile step ntu pack      "$@"   # one archive, a pickle, a manifest and a report
