"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steps import LAST, OURS, TORCH


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """`left` columns of words, the others of numbers."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(map(line, (head, rule, *rows)))


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def yes(value: bool | None) -> str:
    return {None: "", True: "yes", False: "no"}[value]


def pair(values: list[float] | tuple[float, ...]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


# ---- training steps

STEPS = ["step", "ours, ms", "torch, ms", "ratio", "from - to", "channels-last", "bar", "met", "goal", "met", "checks"]


def steps_head() -> str:
    return line(STEPS) + "\n" + line(["---", *["---:"] * 9, "---"])


def steps_line(row: dict[str, Any]) -> str:
    low, high = row["spread"][TORCH]
    told = [] if row["losses agree"] else ["LOSSES DIFFER"]
    told += [] if row["first step"]["within bound"] else ["GRADIENTS DIFFER"]
    told += ["foreign load"] if row["foreign load"] else []
    return line(
        [
            row["title"],
            *(f"{1e3 * row['seconds'][kind]:.1f}" for kind in (OURS, TORCH)),
            f"{row['ratio'][TORCH]:.2f}",
            f"{low:.2f} - {high:.2f}",
            f"{row['ratio'][LAST]:.2f}" if LAST in row["ratio"] else "",
            pair(row["bars"]),
            yes(row["bar met"]),
            pair(row["goals"]),
            yes(row["goal met"]),
            ", ".join(told) or "passed",
        ]
    )


def steps(rows: dict[str, Any]) -> str:
    return "\n".join([steps_head(), *map(steps_line, rows.values())])


def checks(rows: dict[str, Any]) -> str:
    """Gradients, losses and memory of each row."""
    head = ["step", "gradient's error: ours", "torch", "against", "worst parameter", "losses, ours", "losses, torch"]
    head += ["peak MB: ours", "torch", "channels-last"]
    lines = []
    for row in rows.values():
        first, memory = row["first step"], row.get("peak megabytes", {})
        lines.append(
            [
                row["title"],
                *(f"{first['error'][kind]:.1e}" if kind in first["error"] else "" for kind in (OURS, TORCH)),
                first["against"],
                f"`{first['parameter'][OURS]}`" + (f", {len(first['zero'])} zero" if first["zero"] else ""),
                *(", ".join(f"{loss:.4g}" for loss in row["losses"][kind]) for kind in (OURS, TORCH)),
                *(f"{memory[kind]:.0f}" if memory.get(kind) is not None else "" for kind in (OURS, TORCH, LAST)),
            ]
        )
    return table(head, lines)


def environment(found: dict[str, Any]) -> str:
    """With what both sides computed."""
    kept = found["denormal numbers kept"]
    return (
        f"Threads: {found['threads']['ours']} (ours), {found['threads']['torch']} (torch). "
        f"Vectors: {found['vectors of ours, bits']} bits (ours), {found['vectors of torch']} (torch). "
        f"Denormal numbers are {'kept' if kept['torch'] else 'flushed'} in torch and "
        f"{'kept' if kept['NumPy'] else 'flushed'} in NumPy. torch: {'; '.join(found['torch'])}."
    )


def stamp(found: dict[str, Any]) -> str:
    return (
        f"Made by `{found['command']}` on {found['date']}. {found['machine']}; {found['versions']}; "
        f"sources {found['source']}."
    )


def stamps(rows: dict[str, Any]) -> str:
    """One stamp where all rows were made alike, else one for each kind."""
    return "\n\n".join(dict.fromkeys(f"{stamp(row)} {environment(row['environment'])}" for row in rows.values()))


# ---- the other sections


def layers(found: dict[str, Any]) -> str:
    head = ["convolution", "direction", "ours, ms", "Gflop/s", "torch's Gflop/s", "ratio", "channels-last"]
    lines = []
    for entry in found["convolutions"]:
        for direction, times in entry["directions"].items():
            ours, torch, last = (times[kind] for kind in (OURS, TORCH, LAST))
            lines.append(
                [
                    entry["title"],
                    direction,
                    f"{1e3 * ours:.3f}",
                    *(f"{entry['flop'] / seconds / 1e9:.0f}" for seconds in (ours, torch)),
                    f"{ours / torch:.2f}",
                    f"{ours / last:.2f}" + (" (foreign load)" if times["foreign load"] else ""),
                ]
            )
    peers = [f"{name}: {why}" for name, why in found["absent"].items()]
    text = table(head, lines, 2)
    if found["peers"]:
        names = list(found["peers"][0]["seconds"])
        rows = [[e["title"], *(f"{1e3 * e['seconds'][n]:.1f}" for n in names)] for e in found["peers"]]
        text += "\n\nForward and both gradients together, ms:\n\n" + table(["convolution", *names], rows)
    return text + ("\n\n" + "; ".join(peers) + "." if peers else "")


def scaling(found: dict[str, Any]) -> str:
    parts = []
    for series in found["series"]:
        rows = [
            [
                str(point["size"]),
                *(f"{1e3 * point['seconds'][kind]:.2f}" for kind in (OURS, TORCH)),
                *(f"{1e3 * point['seconds'][kind] / point['images']:.3f}" for kind in (OURS, TORCH)),
                f"{point['seconds'][OURS] / point['seconds'][TORCH]:.2f}",
                ", ".join(point["cliff"]) + (" (foreign load)" if point["foreign load"] else ""),
            ]
            for point in series["points"]
        ]
        head = [series["over"], "ours, ms", "torch, ms", "ours, ms an image", "torch", "ratio", "cliff"]
        parts.append(f"{series['title']}\n\n{table(head, rows, 0)}")
    return "\n\n".join(parts)


def streams(found: dict[str, Any]) -> str:
    head = ["file in kernels/cpu", "body", "GB/s", "a copy's GB/s", "share"]
    rows = [
        [f"`{e['stem']}.py`", e["title"], f"{e['GB/s']:.1f}", f"{e['copy']:.1f}", f"{e['share']:.2f}"]
        for e in found["bodies"]
    ]
    return table(head, rows, 2)


def cold(found: dict[str, Any]) -> str:
    names = ["import", "first step", "second step"]
    rows = [[kind, *(f"{times[name]:.2f}" for name in names)] for kind, times in found["times"].items()]
    return table(["ResNet-20, batch 128, seconds", *names], rows)


def profile(title: str, found: dict[str, Any]) -> str:
    ranked = sorted(found["kernels"].items(), key=lambda item: -item[1][0])
    rows = [[k, str(n), f"{1e3 * s:.2f}", f"{100 * s / found['step']:.1f}"] for k, (s, n) in ranked]
    left = found["outside of kernels"]
    rows.append(["outside of kernels", "", f"{1e3 * left:.2f}", f"{100 * left / found['step']:.1f}"])
    return f"{title}: {1e3 * found['step']:.1f} ms\n\n" + table(["kernel", "launches", "ms a step", "%"], rows)


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "layers": layers,
    "streams": streams,
    "scaling": scaling,
    "cold": cold,
}


def document(known: dict[str, Any]) -> str:
    """All that was measured so far."""
    parts = [
        "# Speed on a processor\n\n"
        "Ratios are ours / torch: below 1 we are faster. How it is measured and how to read it: "
        "[README](../README.md). All numbers: `cpu.json`."
    ]
    for section, title in (("steps", "Training steps"), ("avx2", "Training steps with vectors of 256 bits")):
        if section in known:
            rows = known[section]
            parts += [f"## {title}", steps(rows), "What both sides compute:", checks(rows), stamps(rows)]
    titles = {
        "layers": "Single convolutions",
        "streams": "Bodies that the memory limits",
        "scaling": "Over batch sizes and image sizes",
        "cold": "Cold start",
    }
    for section, title in titles.items():
        if section in known:
            parts += [f"## {title}", SECTIONS[section](known[section]), stamp(known[section])]
            if section == "scaling":
                parts.insert(-1, "![Time of a step](cpu_scaling.png)")
    return "\n\n".join(parts) + "\n"
