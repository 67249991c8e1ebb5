#!/usr/bin/env bash
# MADS: martial arts, dancing and sports, three calibrated cameras, 19 or 15 joints by markers.
#
#   Zhang, Liu, Zhou, Leung, Chan: Martial Arts, Dancing and Sports Dataset: a Challenging Stereo and
#   Multi-View Dataset for 3D Human Pose Estimation. Image and Vision Computing 61, 2017.
#   Licence: research use, see the project's page
#   https://visal.cs.cityu.edu.hk/research/mads         Google Drive; `posepile plan mads` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.movements=[Kata]    any key of configs/mads.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the videos; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step mads download  "$@"   # says what to fetch by hand; extracts it
posepile step mads calibrate "$@"   # nothing to derive: cameras come with the videos
posepile step mads process   "$@"   # per video: select by motion, detect, crop, segment
posepile step mads pack      "$@"   # one archive, a pickle, a manifest and a report
