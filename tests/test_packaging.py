"""What an installation brings: metadata, extras, and every folder of modules."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import minitorch_cv

EXTRAS = {"gpu", "gpu12", "course", "docs", "browser", "export", "distributed", "test", "yardstick", "dev"}


def test_the_extras():
    assert set(metadata.metadata("minitorch-cv").get_all("Provides-Extra")) == EXTRAS


def test_the_version_is_the_metadata_s():
    assert minitorch_cv.__version__ == metadata.version("minitorch-cv")


def test_the_package_is_typed():
    assert (Path(minitorch_cv.__file__).parent / "py.typed").is_file()


def test_torch_is_asked_for_only_by_the_yardstick():
    heavy = {line for line in metadata.requires("minitorch-cv") or [] if line.startswith(("torch", "onnxruntime"))}
    assert any(line.startswith("torch==2.13.0") for line in heavy)
    assert all("yardstick" in line for line in heavy)


def test_setup_names_every_folder_of_modules(checkout):
    """Packages are found by their __init__.py, and the folders at the top are mapped into the package."""
    code = """
import json, sys, setuptools
setuptools.setup = lambda **settings: print(json.dumps(settings))
exec(compile(open("setup.py", encoding="utf-8").read(), "setup.py", "exec"))
"""
    pytest.importorskip("setuptools", reason="setuptools is not installed here; the wheel's test covers it")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=checkout)
    assert done.returncode == 0, done.stderr
    packages = set(json.loads(done.stdout)["packages"])
    folders = {path.parent for root in ("minitorch_cv", "kernels") for path in (checkout / root).rglob("*.py")}
    expected = {
        ".".join(("minitorch_cv", *parts) if parts[0] == "kernels" else parts)
        for parts in (folder.relative_to(checkout).parts for folder in folders)
    }
    assert packages == expected | {"minitorch_cv.lessons"}
    assert not any(name.split(".")[0] in ("kernels", "lessons") for name in packages)
