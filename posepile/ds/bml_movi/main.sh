#!/usr/bin/env bash
# BMLmovi (MoVi): 90 actors, 20 actions each, motion capture at 120 Hz, two machine-vision cameras, two phones.
#
#   Ghorbani, Mahdaviani, Thaler, Kording, Cook, Blohm, Troje: MoVi: A large multi-purpose human motion and
#   video dataset. PLOS ONE 16(6), 2021
#   Licence: own terms for non-commercial research (biomotionlab.ca/movi)
#   https://doi.org/10.5683/SP2/JRHDRN      by hand, terms have to be accepted
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[1,46]    any key of configs/bml_movi.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step bml_movi download  "$@"   # videos, motion capture and calibration: put into place by hand
posepile step bml_movi calibrate "$@"   # nothing to derive: two cameras come calibrated, phones do not
posepile step bml_movi process   "$@"   # per video: select by motion, find the person, crop, mask
posepile step bml_movi pack      "$@"   # one archive, a pickle, a manifest and a report
