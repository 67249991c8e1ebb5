"""Marks on a drawn person that survive video, warping and JPEG: joints, picture number, person.

*Joints* are discs, one colour each (:func:`posepile.miniature.kit.joint_colors`).

*The picture's number* is drawn on the limbs: each limb of a list has two cells, dark or light, between the
discs of its two joints. Which ones are dark is a code word of the number; it is read along the
line between the joints where they are expected, so it does not matter how the picture was turned,
scaled or mirrored, and limbs that are hidden or seen end-on are left out.

*The person's index* is the tint of the body, the same in dark and light cells.
"""
