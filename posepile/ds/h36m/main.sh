#!/usr/bin/env bash
# Human3.6M: 3.6 million poses of actors in a studio, 4 calibrated cameras at 50 fps, markers.
#
#   Ionescu, Papava, Olaru, Sminchisescu: Human3.6M: Large Scale Datasets and Predictive Methods for
#   3D Human Sensing in Natural Environments. TPAMI 36(7), 2014; Ionescu, Li, Sminchisescu: ICCV 2011.
#   Licence: academic, one per approved account, no redistribution
#   http://vision.imar.ro/human3.6m             account needed; `posepile plan h36m` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[S9,S11]    any key of configs/h36m.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the takes; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step h36m download  "$@"   # metadata of the devkit; the archives of the account are extracted
posepile step h36m calibrate "$@"   # nothing to derive: cameras are in metadata.xml
posepile step h36m process   "$@"   # per take and camera: select by motion, crop
posepile step h36m pack      "$@"   # one archive, a pickle, a manifest and a report
