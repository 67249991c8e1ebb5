"""Skeletons as data: which joints of datasets and conventions are the same point of the body.

Every joint is a point: a place of the body (``places.yaml``) as a family of sources means it
(``families.yaml``). Joints of one family and place are the same point; those of one place, or of
two that stand in for one another, are similar. Conventions are in ``conventions.yaml``, the joints
of a dataset in the ``joints.yaml`` of its folder.
"""
