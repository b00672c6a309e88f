"""How long it takes to grade a class: made-up hand-ins of every exercise, solutions, mistakes and stubs mixed.

    python benchmarks/grading.py --handins 200 --jobs 2              exercises in NumPy
    python benchmarks/grading.py --lessons 00_backprop 04_resnet     those of some lessons
    python benchmarks/grading.py --handins 20 --cuda                 exercises in CUDA, which are compiled
    python benchmarks/grading.py --handins 200 --kill-after 300      killed after so many seconds, then resumed

Prints seconds, and leaves the class report in --folder.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from minitorch_cv.course.exercise import all_exercises
from minitorch_cv.course.release import release


def make_handins(folder: Path, exercises, count: int) -> list[Path]:
    """A class in which each student has a skill of their own: right, wrong in a known way, or not written."""
    chance = random.Random(1)
    paths = []
    for number in range(count):
        path = folder / f"student{number:03}"
        path.mkdir(parents=True)
        skill = chance.uniform(0.3, 1.0)
        for exercise in exercises:
            drawn = chance.random()
            mistaken = exercise.with_mistake(chance.choice(exercise.mistakes))
            text = exercise.solution if drawn < skill else mistaken if drawn < 0.9 else exercise.stub
            (path / exercise.file).write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handins", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--lessons", nargs="+", metavar="LESSON", help="as in 04_resnet; all, if not given")
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--kill-after", type=float, metavar="S")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    args = parser.parse_args()
    exercises = [one for one in all_exercises() if (one.language.name == "cuda") == args.cuda]
    if args.lessons:
        exercises = [one for one in exercises if one.about.lesson in args.lessons]
    _, teacher = release(args.folder, exercises, "benchmark", seed=1)
    handins = make_handins(args.folder / "handins", exercises, args.handins)
    command = [sys.executable, "-m", "minitorch_cv", "course", "grade", *map(str, handins), "--course", str(teacher)]
    command += ["--results", str(args.folder / "graded"), "--jobs", str(args.jobs)]
    begun = time.perf_counter()
    if args.kill_after is not None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(args.kill_after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = len(list((args.folder / "graded").glob("student*.json")))
        print(f"killed after {args.kill_after:.0f} s, when {kept} of {args.handins} were graded", flush=True)
    graded = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    print(f"{graded.stdout.count('as before')} of them kept as they were")
    count = args.handins * len(exercises)
    print(
        f"{args.handins} hand-ins of {len(exercises)} exercises: {seconds:.0f} s, {seconds / count:.3f} s an exercise"
    )


if __name__ == "__main__":
    main()
