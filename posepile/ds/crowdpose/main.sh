#!/usr/bin/env bash
# CrowdPose: 14 joints of people who overlap in web photographs; 20,000 photographs, 80,000 people.
#
#   Li, Wang, Zhu, Mao, Fang, Lu: CrowdPose: Efficient Crowded Scenes Pose Estimation and A New
#   Benchmark. CVPR 2019.     Licence: not stated; photographs of COCO, MPII and AI Challenger
#   https://github.com/Jeff-sjtu/CrowdPose
#
# The photographs come from Google Drive, by hand (posepile plan crowdpose).
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant dense    a second build beside the main one, with settings of its own
#   --set dataset.phases=[train,val]   any key of configs/crowdpose.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the units; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step crowdpose download  "$@"   # the corrected annotations; says where the photographs come from
posepile step crowdpose calibrate "$@"   # cut the annotation files into pieces for the workers
posepile step crowdpose process   "$@"   # per some hundred photographs: check, crop
posepile step crowdpose pack      "$@"   # one archive, a pickle, a manifest and a report
