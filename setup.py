"""Which folders become which packages; everything else is in pyproject.toml.

Two folders at the top of the checkout are installed inside the package, so that no wheel ever claims the names
`kernels` or `lessons` for itself: kernels/ as minitorch_cv.kernels, lessons/ as scripts in minitorch_cv/lessons/,
with the CUDA kernels that lesson 08 reads.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["minitorch_cv", "minitorch_cv.*"]),
        *("minitorch_cv." + name for name in find_packages(include=["kernels", "kernels.*"])),
        "minitorch_cv.lessons",
    ],
    package_dir={"minitorch_cv.kernels": "kernels", "minitorch_cv.lessons": "lessons"},
)
