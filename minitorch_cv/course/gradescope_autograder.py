"""The autograder that Gradescope runs: a zip of the teacher's folder and two scripts.

Gradescope unpacks it into /autograder/source of a container, runs `setup.sh` once, and `run_autograder` for each
hand-in, which lies in /autograder/submission; see https://gradescope-autograders.readthedocs.io/. The container, made
anew for each hand-in, stands for the sandbox: what it guarantees is Gradescope's word, not ours.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from minitorch_cv._files import written_whole
from minitorch_cv.course.release import Course

PROGRAMS, COMPILER = "python3 python3-venv", "g++ binutils"

MAKE_WHEEL = "pip wheel --no-deps ."

SETUP = """\
#!/usr/bin/env bash
# Run once, when the image of the container is built.
set -euo pipefail
apt-get update
apt-get install -y {programs}
# Where a user without rights, as whom students' code runs, can read it.
python3 -m venv /opt/minitorch_cv
/opt/minitorch_cv/bin/pip install {package}
# Students' code is to find neither solutions nor operations to forward to: not in the teacher's folder, nor in a wheel
# beside it; of the package it reads what runs it.
chmod 700 "${{AUTOGRADER:-/autograder}}/source"
package=$(/opt/minitorch_cv/bin/python -c 'import minitorch_cv, os; print(os.path.dirname(minitorch_cv.__file__))')
rm -f "$package"/course/exercises/[a-z]*.py
chmod -R go-rwx "$package"
chmod go+x "$package" "$package/course" "$package/course/sandbox"
chmod -R go+rX "$package/course/runner" "$package/course/sandbox"
{opened}"""

OPENED = """\
# A process that runs kernels of CUDA reads the simulator as well.
chmod go+x "$package/kernels"
/opt/minitorch_cv/bin/python -c 'from minitorch_cv.course.language import simulator_packages
print(*(path for name, path in simulator_packages().items() if name.startswith("minitorch_cv/")), sep="\\n")' |
    while read -r path; do chmod -R go+rX "$path"; done
"""

RUN = """\
#!/usr/bin/env bash
# Run for each hand-in.
set -euo pipefail
autograder=${AUTOGRADER:-/autograder}
command=${MINITORCH_CV:-/opt/minitorch_cv/bin/minitorch-cv}
"$command" course grade "$autograder/submission" --course "$autograder/source/teacher" \\
    --results "$autograder/results/graded" --sandbox "${SANDBOX:-container}" --format gradescope
mv "$autograder/results/graded/gradescope/submission.json" "$autograder/results/results.json"
"""


def expect_wheel(path: Path) -> None:
    """Refuse what is no wheel of this package: whatever the autograder installs runs beside the teacher's seed.

    Raises ValueError that says how one is made.
    """
    if not re.fullmatch(r"minitorch_cv-[\w.+-]+\.whl", path.name) or not zipfile.is_zipfile(path):
        raise ValueError(f"--package expects a wheel of minitorch-cv; it is {path}. One is made by: {MAKE_WHEEL}")


def write_autograder(path: Path, teacher: Path, wheel: Path) -> None:
    """Writes the zip. wheel: this package, which is put in, and installed by `setup.sh`.

    Raises ValueError where it is none, CourseError for a folder that is no teacher's.
    """
    expect_wheel(wheel)
    needs_compiler = any(exercise.language.needs_compiler for exercise in Course.read(teacher).exercises)
    setup = SETUP.format(
        package=f'"$(dirname "$0")/{wheel.name}"',
        programs=f"{PROGRAMS} {COMPILER}" if needs_compiler else PROGRAMS,
        opened=OPENED if needs_compiler else "",
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", setup), ("run_autograder", RUN)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
        for file in sorted(teacher.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, Path("teacher") / file.relative_to(teacher))
        archive.write(wheel, wheel.name)
    with written_whole(path) as temporary:
        temporary.write_bytes(content.getvalue())
