#!/usr/bin/env bash
# MuPoTS-3D: 20 sequences of several people, indoors and outdoors, markerless capture; a test set.
#
#   Mehta, Sotnychenko, Mueller, Xu, Sridhar, Pons-Moll, Theobalt: Single-Shot Multi-Person 3D Pose
#   Estimation From Monocular RGB. 3DV 2018
#   Licence: non-commercial research
#   http://gvv.mpi-inf.mpg.de/projects/SingleShotMultiPerson      no account needed
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.sequences=[TS1,TS7]    any key of configs/mupots.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the sequences; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step mupots download  "$@"   # one archive of 5.6 GB
posepile step mupots calibrate "$@"   # nothing to derive: each sequence fits its own camera
posepile step mupots process   "$@"   # per sequence: fit the camera, find the people, crop
posepile step mupots pack      "$@"   # one archive, a pickle, a manifest and a report
