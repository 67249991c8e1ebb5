#!/usr/bin/env bash
# SynthEgo: 60,000 rendered head-mounted stereo pairs of single poses, 6,000 identities, SMPL-H, 54 landmarks.
#
#   Cuevas-Velasquez, Hewitt, Aliakbarian, Baltrusaitis: SimpleEgo: Predicting Probabilistic Body Pose
#   from Egocentric Cameras. 3DV 2024, pp. 1446-1455.
#   Licence: Microsoft Research Use of Data Agreement v1.0 (non-commercial research); the poses spliced
#   in from AMASS and MANO stay under the MPI licences
#   https://github.com/microsoft/SimpleEgo                    ten parts of about 3 GB, no login
#   https://amass.is.tue.mpg.de  https://mano.is.tue.mpg.de   two accounts, for the poses:
#                                                             `posepile plan synthego` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set crop.jpeg_quality=90    any key of configs/synthego.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the identities; afterwards
# run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step synthego download  "$@"   # AMASS MoSh + PosePrior, MANO poses, ten parts; CRCs checked
posepile step synthego calibrate "$@"   # put the AMASS and MANO poses into the metadata, check joints
posepile step synthego process   "$@"   # per identity: two crops per stereo pair
posepile step synthego pack      "$@"   # one archive, a pickle, a manifest and a report
