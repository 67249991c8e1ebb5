#!/usr/bin/env bash
# Berkeley MHAD: eleven actions of twelve people, 12 cameras and two Kinects, 43 LED markers.
#
#   Ofli, Chaudhry, Kurillo, Vidal, Bajcsy: Berkeley MHAD: A Comprehensive Multimodal Human Action Database.
#   WACV 2013.
#   Licence: free for research with citation
#   https://tele-immersion.citris-uc.org/berkeley_mhad
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[S01,S02]   any key of configs/bmhad.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the views; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step bmhad download  "$@"   # archives that a person fetches, extracted
posepile step bmhad calibrate "$@"   # nothing to derive: cameras come calibrated
posepile step bmhad process   "$@"   # per sequence and view: select by motion, crop, segment
posepile step bmhad pack      "$@"   # one archive, a pickle, a manifest and a report
