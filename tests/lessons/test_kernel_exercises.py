"""The exercises of lesson 08: what is broken is told as such, and what is mended is accepted."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from minitorch_cv.kernels.simulator import check as command
from minitorch_cv.kernels.simulator import module

from minitorch_cv._lessons import lessons_folder

SCRIPT = lessons_folder() / "kernels" / "exercises.py"
SOLUTIONS = Path(__file__).with_name("solutions")

try:
    module.compiler()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)

EXERCISES = runpy.run_path(str(SCRIPT))
check = EXERCISES["check"]
KINDS = {
    "race": "race",
    "barrier": "divergent-barrier",
    "bounds": "out-of-bounds",
    "wait": "stale-copy",
    "mask": "warp-collective",
    "alignment": "misaligned",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_broken_kernel_is_told_by_its_kind(name):
    verdict = check(name)
    assert not verdict
    assert {finding.kind for finding in verdict.findings} == {KINDS[name]}
    assert verdict.complaints, "its results are right"
    for complaint in verdict.complaints:
        assert re.search(
            r"\w+ = \d+: \w+ differs from .*; the first is \w+\[[\d, ]+\]: .*; order of threads: ", complaint
        )


def test_the_slow_kernel_is_right_and_slow():
    verdict = check("transpose")
    assert not verdict.findings
    assert verdict.complaints[0] == (
        "rows = 64, columns = 32: its loads and stores take 2304 sectors of 32 bytes; x and y together have 512"
    )
    assert verdict.complaints[1].startswith("rows = 32, columns = 96: ")


def test_every_exercise_is_tested():
    assert set(EXERCISES["EXERCISES"]) == {*KINDS, "transpose"}
    assert {path.stem for path in SOLUTIONS.glob("*.cu")} == set(EXERCISES["EXERCISES"])


@pytest.mark.parametrize("name", [*KINDS, "transpose"])
def test_a_solution_is_accepted(name):
    verdict = check(name, SOLUTIONS / f"{name}.cu")
    assert verdict, verdict


def test_bank_conflicts_are_told(tmp_path):
    text = (SOLUTIONS / "transpose.cu").read_text(encoding="utf-8").replace("[32][33]", "[32][32]")
    (tmp_path / "mine.cu").write_text(text, encoding="utf-8")
    complaint, _ = check("transpose", tmp_path / "mine.cu").complaints
    assert complaint == (
        "rows = 64, columns = 32: 128 requests of shared memory take 2112 wavefronts, where one for each would do: "
        "lanes want different words of the same bank"
    )


def test_the_command(tmp_path):
    run = lambda *words: subprocess.run(
        [sys.executable, SCRIPT, *words], capture_output=True, text=True, encoding="utf-8", check=False
    )
    listed = run()
    assert listed.returncode == 0 and listed.stdout.startswith("race ")
    (command,) = re.findall(r"^    python (.*) race my_race.cu$", listed.stdout, re.MULTILINE)
    assert Path(*shlex.split(command)).samefile(SCRIPT)
    assert run("race").returncode == 1
    mended = run("race", str(SOLUTIONS / "race.cu"))
    assert (mended.returncode, mended.stdout) == (0, "nothing is wrong\n")
    unknown = run("rice")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("exercises: expects one of race, barrier")
    (tmp_path / "mine.cu").write_text('extern "C" __global__ void block_sums(const float* x) { y = 0; }\n')
    failed = run("race", str(tmp_path / "mine.cu"))
    assert failed.returncode == 1 and "mine.cu:1:" in failed.stdout


@pytest.mark.parametrize("name", ["race", "wait"])
def test_kernel_check_finds_the_same_in_a_copy(name, tmp_path):
    path = tmp_path / "mine.cu"
    path.write_text((SCRIPT.parent / f"broken_{name}.cu").read_text(encoding="utf-8"), encoding="utf-8")
    result = command.check(path, ("orders", "watched"))
    kinds = {told.finding.kind for told in result.told}
    assert KINDS[name] in kinds and kinds <= {KINDS[name], "wrong-result"}
