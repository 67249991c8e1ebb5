#!/usr/bin/env bash
# TotalCapture: single actors, eight cameras at 60 fps, mattes, 21 joints by Vicon.
#
#   Trumble, Gilbert, Malleson, Hilton, Collomosse: Total Capture: 3D Human Pose Estimation Fusing Video
#   and Inertial Sensors. BMVC 2017.        Licence: research agreement, no redistribution
#   https://cvssp.org/data/totalcapture      access by e-mail, then e-mail and password; see sources.yaml
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[S1]    any key of configs/totalcapture.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step totalcapture download  "$@"   # archives of the account, extracted
posepile step totalcapture calibrate "$@"   # nothing to derive: cameras are in calibration.cal
posepile step totalcapture process   "$@"   # per video: select by motion, crop
posepile step totalcapture pack      "$@"   # one archive, a pickle, a manifest and a report
