#!/usr/bin/env bash
# EMDB: 81 sequences of one person outdoors, a hand-held moving phone, SMPL in the world from electromagnetic
# sensors; for evaluation.
#
#   Kaufmann, Song, Guo, Shen, Jiang, Tang, Zarate, Hilliges: EMDB: The Electromagnetic Database of Global 3D
#   Human Pose and Shape in the Wild. ICCV 2023.
#   Licence: research, application form
#   https://eth-ait.github.io/emdb            form needed; `posepile plan emdb` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.sets=[1]    any key of configs/emdb.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the sequences; afterwards run
#   main.sh --stage pack
# Scores of predictions: posepile eval emdb --pred-path ...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step emdb download  "$@"   # what the form gives, extracted; SMPL models
posepile step emdb calibrate "$@"   # nothing to derive: cameras are in the annotations
posepile step emdb process   "$@"   # per sequence: every good frame, crop
posepile step emdb pack      "$@"   # one archive, a pickle, a manifest and a report
