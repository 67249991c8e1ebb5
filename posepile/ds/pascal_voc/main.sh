#!/usr/bin/env bash
# PASCAL VOC 2012: objects other than people, cut out of photographs: occluders for training.
#
#   Everingham, Van Gool, Williams, Winn, Zisserman: The PASCAL Visual Object Classes Challenge 2012
#                             Licence: photographs under the terms of Flickr, citation asked for
#   http://host.robots.ox.ac.uk/pascal/VOC/voc2012/                          2 GB, no login
#
# A helper: it leaves the official files and $CACHE_DIR/pascal_voc_occluders.pkl, nothing is packed.
# Run it again and it goes on where it stopped. Options, passed through to both steps:
#   --miniature        on a tiny made-up copy in the official layout, offline
#   --dry-run          which of its files are there; does nothing
#   --set dataset.min_pixels=1000   any key of configs/pascal_voc.yaml
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

posepile step pascal_voc download  "$@"   # photographs, annotations and label images
posepile step pascal_voc calibrate "$@"   # every listed file is there; objects are cut out
