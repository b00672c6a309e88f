"""The autograder that Gradescope runs: a zip of the teacher's folder and two scripts.

Gradescope unpacks it into /autograder/source of a container, runs `setup.sh` once, and `run_autograder` for each
hand-in, which lies in /autograder/submission; see https://gradescope-autograders.readthedocs.io/. The container, made
anew for each hand-in, stands for the sandbox: what it guarantees is Gradescope's word, not ours.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from minitorch_cv._files import written_whole
from minitorch_cv.course.release import Course

PROGRAMS, COMPILER = "python3 python3-venv", "g++ binutils"

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


def write_autograder(path: Path, teacher: Path, package: str) -> None:
    """Writes the zip. package: what pip installs, `minitorch-cv==0.1.0` or a wheel, whose file is then put in.

    Raises CourseError for a folder that is no teacher's.
    """
    needs_compiler = any(exercise.language.needs_compiler for exercise in Course.read(teacher).exercises)
    wheel = Path(package) if package.endswith(".whl") else None
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        installed = f'"$(dirname "$0")/{wheel.name}"' if wheel is not None else f'"{package}"'
        setup = SETUP.format(
            package=installed,
            programs=f"{PROGRAMS} {COMPILER}" if needs_compiler else PROGRAMS,
            opened=OPENED if needs_compiler else "",
        )
        for name, text in (("setup.sh", setup), ("run_autograder", RUN)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
        for file in sorted(teacher.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, Path("teacher") / file.relative_to(teacher))
        if wheel is not None:
            archive.write(wheel, wheel.name)
    with written_whole(path) as temporary:
        temporary.write_bytes(content.getvalue())
