#!/usr/bin/env bash
# SAIL-VOS: cut scenes of the game GTA V, with masks; pose files that are not published.
#
#   Hu, Chen, Hui, Huang, Schwing: SAIL-VOS: Semantic Amodal Instance Level Video Object
#   Segmentation - A Synthetic Dataset and Baselines. CVPR 2019
#   Licence: the site's terms, research
#   http://sailvos.web.illinois.edu/_site/index.html      pose files: ask the maintainers
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.min_side=80    any key of configs/sailvos.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the scenes; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step sailvos download  "$@"   # nothing by itself: says what to fetch by hand, and checks what is there
posepile step sailvos calibrate "$@"   # nothing to derive: each picture fits its own camera
posepile step sailvos process   "$@"   # per scene: fit cameras, select by motion, find the people, crop
posepile step sailvos pack      "$@"   # one archive, a pickle, a manifest and a report
