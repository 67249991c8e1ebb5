#!/usr/bin/env bash
# AMARV: AMASS motions rendered as video from four synchronised views (SynthAct), SMPL-H, BABEL labels.
#
#   Schneider, Keller, Zhong, Peng, Roitberg, Beyerer, Stiefelhagen: SynthAct: Towards Generalizable
#   Human Action Recognition based on Synthetic Data. ICRA 2024, pp. 13038-13045.
#   Licence: MIT for what it adds; AMASS licence (motions) and BABEL licence (labels), non-commercial
#   https://s.kit.edu/amarv                     archives, unlocked by a password made from AMASS files
#   https://amass.is.tue.mpg.de  https://babel.is.tue.mpg.de    two accounts:
#                                               `posepile plan amarv` gives the steps
#
# The released tree is documented nowhere: describe it in configs/amarv_layout.yaml, then let
# `posepile doctor amarv` compare. Nothing is processed before the two agree.
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the proposed layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.amass_root=/data/amass    any key of configs/amarv.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the clips; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step amarv download  "$@"   # unlocks the archives that were put in place by hand
posepile step amarv calibrate "$@"   # validates the layout manifest against the files
posepile step amarv process   "$@"   # per clip and view: select by motion, crop, warp the mask
posepile step amarv pack      "$@"   # one archive, a pickle, a manifest and a report
