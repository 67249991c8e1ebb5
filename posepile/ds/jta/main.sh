#!/usr/bin/env bash
# JTA (Joint Track Auto): crowds in 512 videos of the game GTA V, 22 joints each, in camera axes.
#
#   Fabbri, Lanzi, Calderara, Palazzi, Vezzani, Cucchiara: Learning to Detect and Track Visible and
#   Occluded Body Joints in a Virtual World. ECCV 2018
#   Licence: CC BY-NC 4.0, and a statement to own the game
#   https://aimagelab.ing.unimore.it/go/JTA      form; a key comes by e-mail
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.splits=[test]    any key of configs/jta.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step jta download  "$@"   # nothing by itself: says what to fetch by hand, and checks what is there
posepile step jta calibrate "$@"   # nothing to derive: one lens for all
posepile step jta process   "$@"   # per video: read its rows, select by motion, find the people, crop
posepile step jta pack      "$@"   # one archive, a pickle, a manifest and a report
