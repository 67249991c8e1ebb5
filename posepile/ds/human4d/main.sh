#!/usr/bin/env bash
# HUMAN4D: motion capture of people before four RGB-D sensors that lie on their side, 33 joints.
#
#   Chatzitofis, Saroglou, Boutis, Drakoulis, Zioulis, Subramanyam, Kevelham, Charbonnier, Cesar, Zarpalas, Kollias,
#   Daras: HUMAN4D: A Human-Centric Multimodal Dataset for Motions and Immersive Media. IEEE Access 8, 2020
#   Licence: see the Zenodo records 4473009 4473047 4483817 4484110 (no account)
#   https://github.com/tofis/human4d_dataset
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.subjects=[S1]    any key of configs/human4d.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the views; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step human4d download  "$@"   # archives of four Zenodo records, put into place by hand
posepile step human4d calibrate "$@"   # nothing to derive: cameras lie beside the recordings
posepile step human4d process   "$@"   # per recording and sensor: select by motion, find the people, crop, mask
posepile step human4d pack      "$@"   # one archive, a pickle, a manifest and a report
