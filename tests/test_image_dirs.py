"""Image folders are an interface: training code finds a dataset's examples by their beginnings."""

import pytest

from posepile.ds import dataset_names, load_recipe

# What consumers look for at the beginning of image paths (metrabs' sections, NLF's too).
PREFIXES = {
    "h36m": "h36m_downscaled",
    "panoptic": "panoptic_",
    "agora": "agora",
    "surreal": "surreal",
    "tdpw": "tdpw",
    "emdb": "emdb",
    "aspset": "aspset_",
    "coco": "coco_",
    "genebody": "genebody",
    "tdhp": "3dhp",
    "mupots": "mupots",
    "rich": "rich_down",
    "tdoh": "3doh_down",
}


@pytest.mark.parametrize("name", sorted(set(PREFIXES) & set(dataset_names())))
def test_training_code_finds_the_dataset(name):
    assert f"{load_recipe(name).SPEC.image_dir}/x".startswith(PREFIXES[name])


def test_no_two_datasets_share_a_folder():
    folders = [load_recipe(name).SPEC.image_dir for name in dataset_names()]
    folders = [folder for folder in folders if folder]
    assert len(set(folders)) == len(folders)
