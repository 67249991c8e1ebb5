#!/usr/bin/env bash
# SURREAL: rendered clips of one SMPL body before photographs, 320x240, 6 million frames.
#
#   Varol, Romero, Martin, Mahmood, Black, Laptev, Schmid: Learning from Synthetic Humans. CVPR 2017.
#   Licence: non-commercial research, registration, no redistribution
#   https://www.di.ens.fr/willow/research/surreal/data/   account by e-mail; 86 GB to download
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/surreal.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the motions; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step surreal download  "$@"   # one archive with your account, verified by its own sums, extracted
posepile step surreal calibrate "$@"   # nothing to derive: one lens, one direction, the position per clip
posepile step surreal process   "$@"   # per motion: select by motion, turn left for right, crop, masks
posepile step surreal pack      "$@"   # one archive, a pickle, a manifest and a report
