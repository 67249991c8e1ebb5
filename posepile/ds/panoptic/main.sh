#!/usr/bin/env bash
# CMU Panoptic Studio: people and groups in a dome, 31 HD cameras at 29.97 fps, 19 joints, no markers.
#
#   Joo, Simon, Li, Liu, Tan, Gui, Banerjee, Godisart, Nabbe, Matthews, Kanade, Nobuhara, Sheikh: Panoptic
#   Studio: A Massively Multiview System for Social Interaction Capture. TPAMI 2017; Joo et al., ICCV 2015.
#   Licence: free for non-commercial research, no registration
#   http://domedb.perception.cs.cmu.edu
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --parts 171204_pose1               downloads these recordings alone
#   --set dataset.views=[3,6,12,13,23] any key of configs/panoptic.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step panoptic download  "$@"   # per recording: 31 videos, calibration, an archive of poses
posepile step panoptic calibrate "$@"   # nothing to derive: cameras come calibrated
posepile step panoptic process   "$@"   # per recording and view: who is who, select by motion, crop
posepile step panoptic pack      "$@"   # one archive, a pickle, a manifest and a report
