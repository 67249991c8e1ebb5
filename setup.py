"""Only what pyproject.toml cannot say: configs/ travels in the wheel as posepile/configs."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["posepile", "posepile.*"]),
        "posepile.configs",
        "posepile.configs.merge",
    ],
    package_dir={"posepile.configs": "configs"},
)
