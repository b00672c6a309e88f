"""The command `minitorch-cv`: lessons, gradient checks, models, what they see and draw, a doctor for the installation.

Exit codes: 0 it worked; 1 it ran and found something wrong; 2 it could not be done (a wrong argument, a missing file);
130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import sys
from collections.abc import Collection, Sequence

EXAMPLES = """\
examples, from the first day on:
  minitorch-cv doctor                         is everything there? what is missing, and how to mend it
  minitorch-cv lessons                        the lessons, in order
  minitorch-cv lesson alexnet --quick         one lesson in under a minute
  minitorch-cv gradcheck my_conv.py           is the gradient that I wrote by hand right, and if not, what is wrong?
  minitorch-cv gradcheck conv2d               checks the package's own conv2d, first and second derivative
  minitorch-cv models                         the architectures that there are
  minitorch-cv summary alexnet                layer by layer: shapes, parameters, multiply-adds, memory
  minitorch-cv classify cat.jpg --model resnet50 --weights resnet50.pth
  minitorch-cv sample ddpm_unet_digits --class 7     new sevens, drawn by a diffusion model
  minitorch-cv course new my_course           exercises that check themselves
  minitorch-cv kernel report                  registers and memory of the CUDA kernels, without a GPU
"""

LESSON_EXAMPLES = """\
examples:
  minitorch-cv lesson 01_alexnet              a few minutes on two cores
  minitorch-cv lesson alexnet --quick         every cell, in under a minute
  minitorch-cv lesson 1 --full                what one would run on a GPU

A lesson is one file that is a script, a notebook and a page. To open it as a notebook:
  pip install "minitorch-cv[course]" jupyterlab
  jupytext --to notebook lessons/01_alexnet.py
"""

SUMMARY_EXAMPLES = """\
examples:
  minitorch-cv summary alexnet
  minitorch-cv summary alexnet --input 3,227,227
  minitorch-cv summary alexnet --json > alexnet.json
  minitorch-cv summary alexnet --figure alexnet.png

Units: parameters and activations are counted in elements, multiply-adds for one image.
"""

CLASSIFY_EXAMPLES = """\
examples:
  minitorch-cv classify cat.jpg --model resnet50 --weights resnet50.pth
  minitorch-cv classify photos/*.jpg --model vgg16_bn --weights vgg16_bn.safetensors --figures seen/
  minitorch-cv classify leaf.png --model resnet18 --weights mine.safetensors --classes names.txt

Published weights of PyTorch's models fit by their names. Photographs are standardised by ImageNet's mean and deviation.
A .pth file is read without trust: nothing in it is executed.
A photograph that cannot be read is named, and the others are classified; the exit code is then 1.
"""

SAMPLE_EXAMPLES = """\
examples:
  minitorch-cv sample conv_vae                                 64 digits: conv_vae.png and conv_vae.npz
  minitorch-cv sample ddpm_unet_digits --class 7 --guidance 2  sevens
  minitorch-cv sample ddpm_unet_digits --steps 10 --output drawn/ten
  minitorch-cv sample dcgan_generator_digits --judge           1,000 digits, and how good they are

PREFIX.png shows the first 100 side by side. PREFIX.npz holds `images` (N, C, H, W) in uint8, `labels` (N,), -1 where
there is none, `seed`, and the other `settings` as JSON; --judge adds PREFIX.json.
One seed gives the same images, and more of them begin with the same ones.
Guidance s is unconditional + s (conditional - unconditional): 1 the conditional net, 0 the unconditional one.
"""

WARMUP_EXAMPLES = """\
examples:
  minitorch-cv warmup                         about 20 seconds the first time, nothing after
  minitorch-cv warmup --float64

Without it each kernel is compiled when it is first needed. Where: $MINITORCH_CV_CACHE, else the user's cache.
"""

KERNEL_REPORT_EXAMPLES = """\
examples:
  minitorch-cv kernel report                                  every source of the package, seven architectures
  minitorch-cv kernel report mine.cu --architecture sm_80 sm_90a
  minitorch-cv kernel report --json > report.json

It needs NVRTC, NVIDIA's compiler, and no GPU: pip install "cuda-core[cu13]>=1.2" "cuda-toolkit[nvrtc]==13.0.*"
With pip install nvidia-cuda-nvdisasm it counts instructions in the machine code as well.
Exit code 1: a source does not compile, or a kernel spills registers or uses local memory.
Registers and local memory (bytes) are a thread's; shared memory (bytes) a block's, without what a launch adds.
"""


def _shape(text: str) -> tuple[int, ...]:
    """`3,224,224` as (3, 224, 224)."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"three positive integers are expected, as in 3,224,224; it is {text!r}")
    return shape


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is expected; it is {text!r}")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number from 0 on is expected; it is {text!r}")
    return int(text)


def _class(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a class is expected, as in 7, or all for each in turn; it is {text!r}")
    return text if text == "all" else int(text)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; each subcommand leaves its function in `run`."""
    from minitorch_cv import _course_command
    from minitorch_cv.checks import command as gradcheck

    def add(name: str, run, summary: str, description: str = "", epilog: str | None = None):
        command = commands.add_parser(
            name,
            help=summary,
            description=description or summary,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    parser = argparse.ArgumentParser(
        prog="minitorch-cv",
        description="Derive gradients by hand and have them checked; build and train the classic vision networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="the version, and where it is installed")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    add("lessons", _list_lessons, "list the lessons")

    lesson = add("lesson", _run_lesson, "run a lesson", epilog=LESSON_EXAMPLES)
    lesson.add_argument("name", metavar="NAME", help="its name, topic or number, as in 01_alexnet, alexnet or 1")
    size = lesson.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="every cell, at a size that takes under a minute")
    size.add_argument("--full", action="store_true", help="the experiments at a size for a GPU")

    gradcheck.add_arguments(add("gradcheck", gradcheck.run, "check gradients: a file of yours, or the package's own"))

    summary = add("summary", _summarize, "a model's ledger: shapes, parameters, multiply-adds", epilog=SUMMARY_EXAMPLES)
    summary.add_argument("model", metavar="MODEL", help="its name, as in alexnet (a wrong name lists them all)")
    summary.add_argument("--input", type=_shape, metavar="C,H,W", help="shape of one image (default: the model's own)")
    summary.add_argument("--json", action="store_true", help="for other programs")
    summary.add_argument("--figure", metavar="FILE", help="a bar for each layer, as .png, .svg or .pdf")

    add("models", _list_models, "the architectures, with their sizes and papers")

    photos = add(
        "classify", _classify, "what a net with published weights sees in photographs", epilog=CLASSIFY_EXAMPLES
    )
    photos.add_argument("photographs", metavar="PHOTO", nargs="+", help="PNG, JPEG, WebP or BMP files")
    photos.add_argument("--model", required=True, metavar="MODEL", help="as in resnet50 (see minitorch-cv models)")
    photos.add_argument("--weights", required=True, metavar="FILE", help="a .safetensors or .pth file")
    photos.add_argument("--classes", metavar="FILE", help="the classes' names, one a line (default: ImageNet's)")
    photos.add_argument("--top", type=_count, default=5, metavar="N", help="how many classes are told (default 5)")
    photos.add_argument("--size", type=_count, metavar="PIXELS", help="of the middle (default: the model's)")
    photos.add_argument("--resize", type=_count, metavar="PIXELS", help="of the shorter side (default 8/7 size)")
    photos.add_argument("--figures", metavar="FOLDER", help="where a picture of each verdict is written")

    drawn = add("sample", _sample, "new images from a generative model: a picture and arrays", epilog=SAMPLE_EXAMPLES)
    drawn.add_argument("model", metavar="MODEL", help="its name, as in conv_vae (a wrong name lists them all)")
    drawn.add_argument("--weights", metavar="FILE", help="a .safetensors or .pth file (default: the package's own)")
    drawn.add_argument("--count", type=_count, metavar="N", help="how many images (default 64; 1000 with --judge)")
    drawn.add_argument(
        "--class", dest="label", type=_class, metavar="CLASS", help="of a net with labels: 7, or all (default)"
    )
    drawn.add_argument(
        "--guidance", type=float, metavar="S", help="how strongly the label counts (default 2; below 0 away from it)"
    )
    drawn.add_argument("--steps", type=_count, metavar="N", help="of a diffusion model's (default 50)")
    drawn.add_argument("--eta", type=float, metavar="ETA", help="share of new noise in each step, 0 .. 1 (default 0)")
    drawn.add_argument("--seed", type=_whole, default=0, metavar="N", help="of all noise (default 0)")
    drawn.add_argument("--output", metavar="PREFIX", help="path without ending, or a folder (default: MODEL, here)")
    drawn.add_argument("--judge", action="store_true", help="of digits: measure them, 1,000 or more, beside real ones")

    warmup = add("warmup", _warmup, "compile every kernel ahead, once on a machine", epilog=WARMUP_EXAMPLES)
    warmup.add_argument("--float64", action="store_true", help="those for float64 as well, which gradient checks use")

    _add_kernel_commands(add)

    course = add("course", lambda args: course.print_help() or 2, "exercises that check themselves")
    _course_command.add_commands(course.add_subparsers(title="commands", metavar="COMMAND"))

    doctor = add("doctor", _doctor, "what works on this machine, what does not, and the exact fix")
    doctor.add_argument("--json", action="store_true", help="for other programs")
    return parser


def _add_kernel_commands(add) -> None:
    """`kernel`, and its own subcommands."""
    from minitorch_cv import _kernel_command

    kernel = add(
        "kernel", lambda args: kernel.print_help() or 2, "CUDA kernels: what can be known of them without a GPU"
    )
    commands = kernel.add_subparsers(title="commands", metavar="COMMAND")
    _kernel_command.add_check(commands)

    report = commands.add_parser(
        "report",
        help="what their machine code uses: registers, memory, instructions",
        description="Compile CUDA sources and tell what the machine code of each kernel uses.",
        epilog=KERNEL_REPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.set_defaults(run=_report_kernels)
    report.add_argument("sources", metavar="FILE", nargs="*", help=".cu files (default: the package's)")
    report.add_argument("--architecture", metavar="SM", nargs="+", help="as in sm_80 (default: seven, sm_61 to sm_100)")
    report.add_argument("--json", action="store_true", help="for other programs")


def _list_lessons(args: argparse.Namespace) -> int:
    from minitorch_cv._lessons import all_lessons, lessons_folder

    lessons = all_lessons()
    if not lessons:
        return _fail(f"lessons: no lesson in {lessons_folder()}")
    width = max(len(lesson.name) for lesson in lessons)
    for lesson in lessons:
        print(f"{lesson.name:<{width}}  {lesson.title}")
    print(f"\nRun one:  minitorch-cv lesson {lessons[0].topic} --quick")
    return 0


def _run_lesson(args: argparse.Namespace) -> int:
    from minitorch_cv._lessons import find_lesson, run_lesson

    try:
        lesson = find_lesson(args.name)
    except LookupError as error:
        return _fail(error.args[0])
    run_lesson(lesson, [flag for flag, chosen in (("--quick", args.quick), ("--full", args.full)) if chosen])
    return 0


def _summarize(args: argparse.Namespace) -> int:
    from minitorch_cv.models import NAMES, ledger
    from minitorch_cv.nn import init

    if args.model not in NAMES:
        return _fail(f"summary: MODEL expects one of {_proposed(args.model, NAMES)}")
    with init.skipped():
        model = NAMES[args.model]()
    shape = (1, *args.input) if args.input else model.input_shape
    try:
        table = ledger(model, shape, args.model)
    except ValueError as error:
        return _fail(f"summary: {args.model} does not take an image of {','.join(map(str, shape[1:]))}: {error}")
    if args.figure:
        from minitorch_cv import viz
        from minitorch_cv._files import written_whole

        try:
            with written_whole(args.figure) as temporary:
                viz.ledger(table).savefig(temporary, dpi=120, format=_picture_format(args.figure))
        except (OSError, ValueError) as error:
            return _fail(f"summary: --figure {args.figure} cannot be written: {error}")
        print(f"figure: {args.figure}", file=sys.stderr)
    if args.json:
        print(table.to_json())
    else:
        from rich.console import Console

        # Nothing is cut off: a terminal that is too narrow folds the layers' names.
        if sys.stdout.isatty():
            Console(width=max(Console().width, 110)).print(table.table())
        else:
            print(table, end="")
    return 0


def _proposed(name: str, known: Collection[str]) -> str:
    """What is known, what was given and what it comes closest to."""
    import difflib

    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{', '.join(known)}; it is {name!r}" + (f" (did you mean {nearest[0]}?)" if nearest else "")


def _picture_format(path: str) -> str:
    from pathlib import Path

    ending = Path(path).suffix.removeprefix(".")
    if ending not in ("png", "svg", "pdf"):
        raise ValueError(f"the ending expects png, svg or pdf; it is {ending!r}")
    return ending


def _list_models(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from minitorch_cv.models import REGISTRY

    table = Table()
    for heading in ("model", "parameters", "G multiply-adds", "published weights", "paper"):
        table.add_column(heading, justify="right" if heading in ("parameters", "G multiply-adds") else "left")
    for name, entry in REGISTRY.items():
        published = "yes" if entry.weights else ""
        table.add_row(name, f"{entry.parameters:,}", entry.giga_multiply_adds, published, entry.paper)
    Console(width=max(Console().width, 120)).print(table)
    print("\nLayer by layer:  minitorch-cv summary resnet50")
    return 0


def _classify(args: argparse.Namespace) -> int:
    from pathlib import Path

    from minitorch_cv import _classify
    from minitorch_cv.models import REGISTRY

    if args.model not in REGISTRY or not REGISTRY[args.model].classifies:
        known = [name for name, entry in REGISTRY.items() if entry.classifies]
        return _fail(f"classify: --model expects one of {_proposed(args.model, known)}")
    try:
        names = None
        if args.classes is not None:
            if not Path(args.classes).is_file():
                return _fail(
                    f"classify: --classes expects a file of names, one a line; there is none at {args.classes}"
                )
            names = Path(args.classes).read_text(encoding="utf-8").rstrip().splitlines()
        model, names = _classify.load_classifier(args.model, Path(args.weights), names)
        size = args.size or model.input_shape[2]  # pyright: ignore[reportAttributeAccessIssue]
        if args.resize is not None and args.resize < size:
            return _fail(f"classify: --resize expects at least the {size} pixels of --size; it is {args.resize}")
        _classify.check_size(model, size)
        folder = None if args.figures is None else Path(args.figures)
        if folder is not None and folder.exists() and not folder.is_dir():
            return _fail(f"classify: --figures expects a folder; {folder} is a file")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        text = str(error).removeprefix("classify: ")
        return _fail(f"classify: {text if len(text) < 900 else text[:900] + ' ...'}")
    failed, drawn = 0, set()
    paths = [Path(path) for path in args.photographs]
    verdicts = _classify.classify(model, names, paths, args.top, size, args.resize)
    for path, verdict in zip(paths, verdicts, strict=True):
        if isinstance(verdict, Exception):
            print(f"minitorch-cv: {verdict}", file=sys.stderr)
            failed += 1
            continue
        print(f"{path}  ({1000 * verdict.seconds:.0f} ms)")
        for name, share in verdict.best:
            print(f"  {share:6.1%}  {name}")
        if folder is not None:
            from minitorch_cv import viz
            from minitorch_cv._files import written_whole

            name = next(n for n in (f"{path.name}.classes{i or ''}.png" for i in itertools.count()) if n not in drawn)
            drawn.add(name)
            figure = viz.top_classes(verdict.photograph, verdict.best, path.name)
            try:
                with written_whole(folder / name) as temporary:
                    figure.savefig(temporary, dpi=120, format="png")
            except OSError as error:
                return _fail(f"classify: --figures: {folder / name} cannot be written: {error}")
            print(f"  figure: {folder / name}")
    if failed:
        print(f"minitorch-cv: {failed} of {len(paths)} photographs could not be read", file=sys.stderr)
    return 1 if failed else 0


def _sample(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress

    from minitorch_cv import _sample

    if args.model not in _sample.NAMES:
        return _fail(f"sample: MODEL expects one of {_proposed(args.model, _sample.NAMES)}")
    if args.judge and args.model not in _sample.DIGITS:
        return _fail(f"sample: --judge expects a model of digits, one of {_proposed(args.model, _sample.DIGITS)}")
    least = 1000 if args.judge else 1
    count = args.count or max(least, 64)
    if count < least:
        return _fail(f"sample: --judge expects a --count of {least:,} or more; it is {count}")
    try:
        model, weights = _sample.load_sampler(args.model, None if args.weights is None else Path(args.weights))
        settings = _sample.settings_for(
            model, args.model, weights, count, args.label, args.steps, args.guidance, args.eta, args.seed
        )
        prefix = _sample.prefix_of(args.output, args.model)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"{count} images", total=_sample.passes(settings))
            images = _sample.sample(model, settings, advance=lambda: progress.advance(task))
        written = _sample.write(prefix, images, settings)
        if args.judge:
            report, path = _sample.judge(prefix, images, settings)
            written.append(path)
            Console(width=max(Console().width, 100)).print(report.table())
    except (OSError, ValueError) as error:
        text = str(error)
        return _fail(f"sample: {text if len(text) < 900 else text[:900] + ' ...'}")
    print(f"{count} images of {images.shape[2]} x {images.shape[3]} pixels: {', '.join(map(str, written))}")
    return 0


def _warmup(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import track

    try:
        from minitorch_cv.kernels.cpu import compiler, warmup
    except ModuleNotFoundError as error:
        return _fail(f"warmup: {error}; without it the portable bodies run, which need no compiling")

    made: list[float] = []
    compiler.Announcements.listeners.append(lambda name, seconds: made.append(seconds) if seconds else None)
    pieces = list(warmup.pieces(("float32", "float64") if args.float64 else ("float32",)))
    for _, make in track(pieces, "kernels", console=Console(stderr=True), transient=True):
        make()
    folder = compiler.cache_folder()
    print(f"all kernels are there: {len(made)} pieces of machine code were compiled just now, in {sum(made):.1f} s")
    if folder is None:
        return _fail("warmup: no folder could be written, so none is kept; set MINITORCH_CV_CACHE to one of your own")
    print(f"kept in {folder}")
    return 0


def _report_kernels(args: argparse.Namespace) -> int:
    from pathlib import Path

    from minitorch_cv.kernels.cuda import resources
    from minitorch_cv.kernels.simulator.module import KernelError

    sources = [Path(name) for name in args.sources]
    for source in sources:
        if not source.is_file():
            return _fail(f"kernel report: FILE expects a .cu file; there is none at {source}")
    try:
        told = resources.report(sources or None, args.architecture)
    except KernelError as error:
        print(f"minitorch-cv: kernel report: {error}", file=sys.stderr)
        return 1
    except (OSError, RuntimeError, ValueError) as error:
        return _fail(f"kernel report: {error}")
    print(told.as_json() if args.json else told)
    return 1 if told.problems() else 0


def _doctor(args: argparse.Namespace) -> int:
    from minitorch_cv import _doctor

    findings = _doctor.examine()
    print(_doctor.as_json(findings) if args.json else _doctor.as_text(findings))
    return 1 if any(finding.state == "broken" for finding in findings) else 0


def _version() -> int:
    from importlib.metadata import version
    from pathlib import Path

    print(f"minitorch-cv {version('minitorch-cv')} ({Path(__file__).resolve().parent})")
    return 0


def _fail(message: str) -> int:
    print(f"minitorch-cv: {message}", file=sys.stderr)
    return 2


def _print_utf8() -> None:
    """Makes both streams write UTF-8 where the console's code page would refuse Greek letters and box drawings."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        return _version()
    if args.command is None:
        parser.print_help()
        return 2
    return args.run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: this process's) and returns its exit code."""
    _print_utf8()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
