#!/usr/bin/env bash
# AI Challenger 2017: 14 joints of people in web photographs; the training photographs of some 300,000.
#
#   Wu et al.: AI Challenger: A Large-scale Dataset for Going Deeper in Image Understanding.
#   arXiv 1711.06475.         Licence: research
#   https://github.com/AIChallenger/AI_Challenger_2017
#
# The photographs come from OpenXLab, by hand (posepile plan aic).
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.visible_share=0   any key of configs/aic.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step aic download  "$@"   # the converted annotations; says where the photographs come from
posepile step aic calibrate "$@"   # cut the one big annotation file into pieces for the workers
posepile step aic process   "$@"   # per some hundred photographs: check, crop
posepile step aic pack      "$@"   # one archive, a pickle, a manifest and a report
