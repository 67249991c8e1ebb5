#!/usr/bin/env bash
# COCO-WholeBody: 133 joints of body, feet, face and hands of the people in COCO's photographs of 2017.
#
#   Jin, Xu, Xu, Wang, Liu, Qian, Ouyang, Luo: Whole-Body Human Pose Estimation in the Wild. ECCV 2020.
#   Licence: annotations CC BY-NC 4.0, research only; photographs as on Flickr
#   https://github.com/jin-s13/COCO-WholeBody
#
# The annotations come from Google Drive, by hand; the photographs are COCO's, found beside it, or
#   posepile step coco_wholebody download --parts val2017 train2017
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.phases=[val2017]   any key of configs/coco_wholebody.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step coco_wholebody download  "$@"   # says where annotations and photographs come from
posepile step coco_wholebody calibrate "$@"   # cut the annotation files into pieces for the workers
posepile step coco_wholebody process   "$@"   # per some hundred photographs: check, crop
posepile step coco_wholebody pack      "$@"   # one archive, a pickle, a manifest and a report
