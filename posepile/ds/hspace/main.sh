#!/usr/bin/env bash
# HSPACE: dressed GHUM bodies animated in rendered scenes, several people, moving cameras; alpha release.
#
#   Bazavan, Zanfir, Zanfir, Freeman, Sukthankar, Sminchisescu: HSPACE: Synthetic Parametric Humans
#   Animated in Complex Environments. arXiv 2112.12867, 2021
#   Licence: access form, Google AI Principles
#   https://github.com/google-research/google-research/tree/master/hspace      form, then gsutil
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.min_side=80    any key of configs/hspace.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the records; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step hspace download  "$@"   # nothing by itself: says what to fetch by hand, and checks what is there
posepile step hspace calibrate "$@"   # says which features the first record holds
posepile step hspace process   "$@"   # per file: read its records, select by motion, masks, crop
posepile step hspace pack      "$@"   # one archive, a pickle, a manifest and a report
