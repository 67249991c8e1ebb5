#!/usr/bin/env bash
# INRIA Holidays: 1,491 photographs; those without people are backgrounds for training.
#
#   Jegou, Douze, Schmid: Hamming Embedding and Weak Geometric Consistency for Large Scale Image
#   Search. ECCV 2008.        Licence: copyright INRIA, provided as is
#   https://lear.inrialpes.fr/people/jegou/data.php.html               some 3 GB, no login
#
# A helper: it leaves jpg_small/ and non_person_images.txt behind, and nothing is packed.
# Run it again and it goes on where it stopped. Options, passed through to both steps:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --dry-run          which of its files are there; does nothing
#   --set dataset.detect.model=yolox_m   any key of configs/inria_holidays.yaml
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step inria_holidays download  "$@"   # photographs and the detector's weights
posepile step inria_holidays calibrate "$@"   # small upright squares, people in them, the list
