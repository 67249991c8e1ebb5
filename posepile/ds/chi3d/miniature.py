"""A tiny CHI3D in the official layout: two people in each picture, of the current release."""

from pathlib import Path

from posepile.miniature import lab_json

SUBJECTS = {"train": "s02 s03 s04", "test": "s01 s05"}
ACTIONS = {"Grab 10": (8, 1, 9), "Hug 1": (7, 1, 7)}  # frames, rows for each, of the videos


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    regions = {"region_id": [[3, 41], [12, 60]]}
    touches = {"fr_id": 4, "start_fr": 2, "end_fr": 6}
    touches |= {"smplx_signature": regions, "ghum_signature": regions}
    contacts = "interaction_contact_signature.json", dict.fromkeys(ACTIONS, touches)
    lab_json.write_lab(root, seed, "chi3d", SUBJECTS, ACTIONS, contacts, n_people=2)
