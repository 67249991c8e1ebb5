#!/usr/bin/env bash
# Toyota Smarthome: seniors at home before seven cameras, 31 activities, with skeletons that networks found; and the
# clips that SynthAct rendered after it, where they are in place.
#
#   Das, Dai, Koperski, Minciullo, Garattoni, Bremond, Francesca: Toyota Smarthome. ICCV 2019
#   Dai et al.: Toyota Smarthome Untrimmed. TPAMI 2022
#   Schneider et al.: SynthAct: Towards Generalizable Human Action Recognition based on Synthetic Data. ICRA 2024
#   Licence: research only, no redistribution
#   https://project.inria.fr/toyotasmarthome/      a form, then a password: `posepile plan smarthome` gives the steps
#
# Run it again and it goes on where it stopped. Options, passed through to every step:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --stage crop       one stage only: download calibrate select detect crop segment pack
#   --from crop        this stage and the later ones
#   --jobs 8           worker processes (default: all cores)
#   --dry-run          what would be done, and why; does nothing
#   --variant cv2      a second build beside the main one, with settings of its own
#   --set dataset.split=cv2    any key of configs/smarthome.yaml
# In a Slurm array (SLURM_ARRAY_TASK_ID/_COUNT) each task takes its share of the clips; afterwards run
#   main.sh --stage pack
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step smarthome download  "$@"   # nothing but durations: clips are put in place by hand
posepile step smarthome calibrate "$@"   # compares configs/smarthome_layout.yaml with the rendered clips, if there are any
posepile step smarthome process   "$@"   # per clip: place the poses, select by motion, crop, segment
posepile step smarthome pack      "$@"   # one archive, a pickle, a manifest and a report
