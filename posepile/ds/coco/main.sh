#!/usr/bin/env bash
# COCO key points: 17 joints of people in web photographs; about 200k photographs, 250k people.
#
#   Lin, Maire, Belongie, Hays, Perona, Ramanan, Dollar, Zitnick: Microsoft COCO: Common Objects in
#   Context. ECCV 2014.       Licence: annotations CC BY 4.0, photographs as on Flickr
#   https://cocodataset.org                       val 2017: 1 GB, train 2017: 19 GB, no login
#
# All photographs of 2017 are fetched; the validation ones alone, 1 GB, by
#   posepile step coco download --parts annotations2017 val2017
# and the steps after it by main.sh --from calibrate.
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.people=single   any key of configs/coco.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step coco download  "$@"   # annotations and photographs of 2017, resumed, extracted
posepile step coco calibrate "$@"   # cut the one big annotation file into pieces for the workers
posepile step coco process   "$@"   # per some hundred photographs: detect if asked for, crop
posepile step coco pack      "$@"   # one archive, a pickle, a manifest and a report
