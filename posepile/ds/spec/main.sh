#!/usr/bin/env bash
# SPEC-SYN: rendered people seen by cameras of many focal lengths, pitches and rolls, SMPL.
#
#   Kocabas, Huang, Tesch, Müller, Hilliges, Black: SPEC: Seeing People in the Wild with an Estimated
#   Camera. ICCV 2021.
#   Licence: non-commercial research, registration
#   https://spec.is.tue.mpg.de    account needed; `posepile plan spec` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.min_side=50    any key of configs/spec.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the pictures; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step spec download  "$@"   # the archive that you have put into archives/, and weights
posepile step spec calibrate "$@"   # nothing to derive: cameras are in the annotations
posepile step spec process   "$@"   # per some pictures: place of every person, box, crop
posepile step spec pack      "$@"   # one archive, a pickle, a manifest and a report
