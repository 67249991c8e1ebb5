#!/usr/bin/env bash
# EHF: 100 pictures of one person in a scan studio, with SMPL-X meshes of body, hands and face.
#
#   Pavlakos, Choutas, Ghorbani, Bolkart, Osman, Tzionas, Black: Expressive Body Capture: 3D Hands,
#   Face, and Body from a Single Image. CVPR 2019.
#   Licence: SMPL-X licence, non-commercial research, registration
#   https://smpl-x.is.tue.mpg.de              account needed; `posepile plan ehf` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/ehf.yaml
# Evaluation: posepile eval ehf --pred-path predictions.pkl
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step ehf download  "$@"   # with your account: pictures and meshes; extracted
posepile step ehf calibrate "$@"   # nothing to derive: there is one camera
posepile step ehf process   "$@"   # joints and box of every mesh, compared with detections; crop
posepile step ehf pack      "$@"   # one archive, a pickle, a manifest and a report
