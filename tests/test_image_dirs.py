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
    "aist": "aist_",
    "mads": "mads_down",
    "totalcapture": "totalcapture",
    "coco": "coco_",
    "coco_wholebody": "coco_",
    "crowdpose": "crowdpose_down",
    "aic": "aic_down",
    "halpe": "halpe",
    "mpii": "mpii_down",
    "posetrack": "posetrack_down",
    "genebody": "genebody",
    "tdhp": "3dhp",
    "mupots": "mupots",
    "rich": "rich_down",
    "tdoh": "3doh_down",
    "fit3d": "fit3d_",
    "humansc3d": "humansc3d_",
    "chi3d": "chi3d_",
    "ikea": "ikea_down",
    "bml_movi": "bml_movi",
    "human4d": "human4d",
    "sailvos": "sailvos",
    "jta": "jta_down",
    "hspace": "hspace_",
    "tdpeople": "3dpeople",
    "muco": "muco_downscaled",
    "tdhp_full": "3dhp_full_down",
    "humbi": "humbi",
    "behave": "behave_down",
    "spec": "spec_down",
    "umpm": "umpm_down",
    "bmhad": "bmhad_down",
    "gpa": "gpa_",
    "ntu": "ntu_down",
    "smarthome": "smarthome_down",
    "densepose_coco": "densepose_coco_",
    "densepose_posetrack": "densepose_posetrack_",
    "jrdb": "jrdb_down",
}


@pytest.mark.parametrize("name", sorted(set(PREFIXES) & set(dataset_names())))
def test_training_code_finds_the_dataset(name):
    assert f"{load_recipe(name).SPEC.image_dir}/x".startswith(PREFIXES[name])


def test_no_two_datasets_share_a_folder():
    folders = [load_recipe(name).SPEC.image_dir for name in dataset_names()]
    folders = [folder for folder in folders if folder]
    assert len(set(folders)) == len(folders)
