"""COCO: people in web photographs, 17 key points."""
