#!/usr/bin/env bash
# DensePose-PoseTrack: points on people in frames of PoseTrack's videos, with their places on the
# surface of SMPL; 13,000 people in 2,500 frames.
#
#   Neverova, Thewlis, Gueler, Kokkinos, Vedaldi: Slim DensePose: Thrifty Learning from Sparse
#   Annotations and Motion Cues. CVPR 2019.
#   Licence: annotations CC BY-NC 2.0, videos as PoseTrack: non-commercial research
#   https://github.com/facebookresearch/DensePose/tree/main/PoseTrack      the pictures need a login
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant other    a second build beside the main one, with settings of its own
#   --set dataset.max_beyond=0.1   any key of configs/densepose_posetrack.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step densepose_posetrack download  "$@"   # annotations, template; says how to get the pictures
posepile step densepose_posetrack calibrate "$@"   # cut the annotation files into pieces for the workers
posepile step densepose_posetrack process   "$@"   # per some hundred frames: crop
posepile step densepose_posetrack pack      "$@"   # one archive, a pickle, a manifest and a report
