#!/usr/bin/env bash
# DensePose-COCO: about 100 points on each of 49,000 people in photographs of COCO 2014, with their
# places on the surface of SMPL.
#
#   Gueler, Neverova, Kokkinos: DensePose: Dense Human Pose Estimation In The Wild. CVPR 2018.
#   Licence: annotations CC BY-NC (as DensePose), photographs as on Flickr
#   https://github.com/facebookresearch/DensePose       annotations 0.7 GB, photographs 20 GB, no login
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant other    a second build beside the main one, with settings of its own
#   --set dataset.min_limb_joints=0   any key of configs/densepose_coco.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step densepose_coco download  "$@"   # annotations, template, photographs of COCO 2014
posepile step densepose_coco calibrate "$@"   # cut the annotation files into pieces for the workers
posepile step densepose_coco process   "$@"   # per some hundred photographs: crop
posepile step densepose_coco pack      "$@"   # one archive, a pickle, a manifest and a report
