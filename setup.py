"""Maps the top-level folder kernels/ to minitorch_cv.kernels; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["minitorch_cv", "minitorch_cv.*"])
    + ["minitorch_cv.kernels"] + ["minitorch_cv." + name for name in find_packages(include=["kernels.*"])],
    package_dir={"minitorch_cv.kernels": "kernels"},
)
