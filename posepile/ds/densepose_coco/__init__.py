"""DensePose-COCO: people in web photographs, points on the surface of the body."""
