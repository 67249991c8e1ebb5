"""COCO-WholeBody: the people of COCO with feet, faces and hands, 133 key points."""
