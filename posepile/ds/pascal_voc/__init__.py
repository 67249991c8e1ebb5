"""PASCAL VOC 2012: objects that are cut out and put before people."""
