"""Fails unless a wheel holds exactly the package's files of this checkout: python .ci/check_wheel.py dist/NAME.whl."""

import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
# Each folder of the checkout, where it lies in the wheel, and which of its files belong there.
SHIPPED = {
    "minitorch_cv": (
        "minitorch_cv",
        ("**/*.py", "**/*.npz", "**/*.txt", "py.typed", "weights/trained/[!.]*.safetensors"),
    ),
    "kernels": ("minitorch_cv/kernels", ("**/*.py", "**/*.cu", "**/*.h")),
    "lessons": ("minitorch_cv/lessons", ("*.py", "kernels/*.cu", "kernels/*.py")),
}


def expected() -> dict[str, Path]:
    """The checkout's files, by the paths inside the wheel that they should have."""
    return {
        f"{inside}/{path.relative_to(CHECKOUT / folder).as_posix()}": path
        for folder, (inside, patterns) in SHIPPED.items()
        for pattern in patterns
        for path in (CHECKOUT / folder).glob(pattern)
    }


def main(wheel: str) -> None:
    """Compares, prints the differences and exits with 1 if there are any."""
    files = expected()
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        changed = {name for name in found & files.keys() if archive.read(name) != files[name].read_bytes()}
    differences = (("misses", files.keys() - found), ("should not hold", found - files.keys()), ("changes", changed))
    for verb, names in differences:
        for name in sorted(names):
            print(f"{Path(wheel).name} {verb} {name}")
    if any(names for _, names in differences):
        sys.exit(1)
    print(f"{Path(wheel).name}: {len(found)} files, {Path(wheel).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
