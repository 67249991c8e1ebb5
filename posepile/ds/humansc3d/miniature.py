"""A tiny HumanSC3D in the official layout: two takes, with the regions that touch each other."""

from pathlib import Path

from posepile.miniature import lab_json

SUBJECTS = {"train": "s01 s02 s03 s06", "test": "s04 s05"}
ACTIONS = {"scratch head 2": (8, 1, 9), "170": (8, 1, 8)}  # frames, rows for each, of the videos


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    regions = {"region_id": [[3, 41], [12, 60]]}
    touches = {"fr_id": 4, "start_fr": 2, "end_fr": 6}
    touches |= {"smplx_signature": regions, "ghum_signature": regions}
    contacts = "self_contact_signature.json", dict.fromkeys(ACTIONS, touches)
    lab_json.write_lab(root, seed, "humansc3d", SUBJECTS, ACTIONS, contacts)
