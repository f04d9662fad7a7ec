"""Draw the pictures of the documentation: `python docs/pictures.py` writes them to docs/pictures.

Every mark is a decision of the library on the same made-up requests, whose timestamps are passed as `now=`. Each
picture has a dark twin, `NAME-dark.svg`: the same shapes in the colours of `DARK`.
"""

import random
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from ratelimit import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket

SECOND = 1_000_000_000
PERIOD = 60
LIMIT = 12
QUOTA = f"{LIMIT}/minute"
START = 28_333_334 * PERIOD * SECOND  # a full minute, where a window begins

# From the palette of Okabe and Ito, which colour-blind readers can tell apart; position and shape repeat the meaning.
ADMITTED, REFUSED, SERVED, LIGHT = "#0072B2", "#D55E00", "#009E73", "#B9DDF4"
INK, FAINT, PALE, PAPER = "#222222", "#999999", "#f4f4f4", "#ffffff"
ABOVE, PREVIOUS = "#f7c9a9", "#e6e6e6"  # areas: above the limit, and of the previous window
DARK = {
    ADMITTED: "#56b4e9",
    REFUSED: "#f08c3a",
    SERVED: "#3fc79a",
    LIGHT: "#1d3c50",
    INK: "#e6e9ec",
    FAINT: "#7d868f",
    PALE: "#1e2226",
    PAPER: "#131416",
    ABOVE: "#5a2f14",
    PREVIOUS: "#2b3036",
}
DASHED = (0, (4, 3))

# For each algorithm, its effect on these requests, and a note at the place that shows it.
ROWS = {
    TokenBucket: ("the saved tokens at once, then one every 5 s", (108, 19.5, "12 saved up,\nand one more every 5 s")),
    LeakyBucket: (
        "one every 5 s; up to 12 more wait in line",
        (150, 18, "never a burst: requests are served at a steady rate"),
    ),
    FixedWindow: ("counts from zero at each full minute", (97, 19, "the quotas of two\nwindows within 11 s")),
    SlidingWindow: ("this minute and a share of the last", (203, 20.5, "close to the limit, not exact")),
    SlidingLog: ("the exact count of the last 60 s", (150, 18, "never more than the limit")),
}


def spread(rng, count, begin, end):
    return [rng.uniform(begin, end) for _ in range(count)]


def traffic():
    """Return timestamps in nanoseconds: a trickle, a burst, a burst across a full minute, and an overload."""
    rng = random.Random(7)
    trickle = [7.5 * i + rng.uniform(0, 4) for i in range(8)]
    burst = spread(rng, 14, 20, 23)
    straddle = spread(rng, 14, 113.5, 119.5) + spread(rng, 14, 120.2, 126.2)
    overload = [165 + 2 * i + rng.uniform(0, 1) for i in range(38)]
    return np.array(sorted(round(moment * SECOND) for moment in trickle + burst + straddle + overload))


def decide(algorithm, moments):
    """Return for each request whether it was admitted, and when the admitted ones were served."""
    limiter = algorithm(QUOTA)
    decisions = [limiter.hit("key", now=START + int(moment)) for moment in moments]
    allowed = np.array([decision.allowed for decision in decisions])
    return allowed, (moments + [decision.delay_ns for decision in decisions])[allowed]


def trailing(served):
    """Return the times at which the number of requests served in the last period changes, and the numbers."""
    moments = np.concatenate([served + PERIOD * SECOND, served])  # leave, then enter: (t - period, t]
    order = np.argsort(moments, kind="stable")
    change = np.repeat([-1, 1], len(served))
    return np.concatenate([[0], moments[order] / SECOND]), np.concatenate([[0], np.cumsum(change[order])])


def ticks(axes, moments, y, height, color):
    axes.vlines(moments, y, y + height, color=color, linewidth=1.1)


def plain(axes):
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0)


def limit_line(axes, **style):
    axes.axhline(LIMIT, color=INK, linewidth=1, linestyle=DASHED, **style)


def shade(axes, when, count):
    """Draw the count as an area; the part above the limit is hatched."""
    axes.fill_between(when, count, step="post", color=LIGHT, linewidth=0)
    axes.fill_between(
        when,
        count,
        LIMIT,
        where=count > LIMIT,
        step="post",
        facecolor=ABOVE,
        edgecolor=REFUSED,
        hatch="////",
        linewidth=0,
    )
    axes.step(when, count, where="post", color=ADMITTED, linewidth=1.3)


def draw_row(axes, algorithm, moments, end):
    text, note = ROWS[algorithm]
    allowed, served = decide(algorithm, moments)
    when, count = trailing(served)
    moments, served = moments / SECOND, served / SECOND
    axes.axhspan(LIMIT, 2 * LIMIT, color=PALE, zorder=0)
    limit_line(axes, zorder=2)
    shade(axes, when, count)
    axes.text(*note, ha="center", va="center", fontsize=9.5, bbox={"facecolor": PAPER, "linewidth": 0, "pad": 2})
    lanes = {"admitted": -6, "refused": -12}
    if algorithm is LeakyBucket:
        lanes = {"admitted": -6, "served": -14, "refused": -20}
        ticks(axes, served, lanes["served"], 4, SERVED)
        axes.plot([moments[allowed], served], [[lanes["admitted"]], [lanes["served"] + 4]], color=FAINT, linewidth=0.5)
    ticks(axes, moments[allowed], lanes["admitted"], 4, ADMITTED)
    axes.plot(moments[~allowed], np.full((~allowed).sum(), lanes["refused"] + 2), "x", color=REFUSED, markersize=4.5)
    axes.set_ylim(min(lanes.values()) - 1, 2 * LIMIT + 1)
    axes.set_yticks([*(y + 2 for y in lanes.values()), 0, LIMIT, 2 * LIMIT], [*lanes, "0", f"limit {LIMIT}", "24"])
    axes.set_xlim(0, end)
    for full_minute in range(PERIOD, end, PERIOD):
        axes.axvline(full_minute, color=FAINT, linewidth=0.8, zorder=0)
    title = axes.set_title(algorithm.__name__, loc="left", fontsize=12, fontweight="bold", color=INK, pad=5)
    axes.annotate(text, (1, 0), xycoords=title, xytext=(8, 0), textcoords="offset points", va="bottom", color=INK)
    axes.set_title(f"{len(served)} of {len(moments)} admitted, {count.max()} in a minute", loc="right", fontsize=10)
    plain(axes)


def same_traffic():
    moments, end = traffic(), 240
    heights = [0.55, 1, 1.25, 1, 1, 1]
    figure, (top, *axes) = plt.subplots(6, sharex=True, figsize=(8.6, 12), height_ratios=heights)
    ticks(top, moments / SECOND, 0, 1, INK)
    top.set_ylim(-0.1, 2)
    top.set_yticks([0.5], ["requests"])
    for middle, text in [(28, "a trickle and a burst"), (120, "a burst across\na full minute"), (202, "an overload")]:
        top.text(middle, 1.2, text, ha="center", va="bottom")
    plain(top)
    for ax, algorithm in zip(axes, ROWS, strict=True):
        draw_row(ax, algorithm, moments, end)
    axes[-1].set_xlabel("time in seconds; the grey lines are full minutes, where windows begin")
    axes[-1].set_xticks(range(0, end + 1, 20))
    figure.supylabel("served in the last 60 seconds", x=0.03, fontsize=10)
    return figure


def boundary():
    """Draw the number of requests that each kind of window has admitted around a boundary."""
    first, last = -10, 50
    moments = np.arange(-8 * SECOND, last * SECOND, SECOND // 2)
    figure, axes = plt.subplots(figsize=(8.6, 4))
    lines = [
        (FixedWindow, REFUSED, "-", (7, 22.4), "twice the limit within 14 seconds"),
        (SlidingWindow, ADMITTED, "--", (23, 15.2), "one more every 5 s, as the\nlast window goes out of view"),
        (SlidingLog, SERVED, "-.", (7, 10.4), "no more until the first is a minute old"),
    ]
    for algorithm, color, style, at, text in lines:
        _, served = decide(algorithm, moments + PERIOD * SECOND)
        when = np.concatenate([[first], served / SECOND - PERIOD, [last]])
        total = np.concatenate([np.arange(len(served) + 1), [len(served)]])
        axes.step(when, total, where="post", color=color, linestyle=style, linewidth=2)
        name = axes.annotate(algorithm.__name__, at, color=color, fontweight="bold", va="top")
        axes.annotate(text, (1, 1), xycoords=name, xytext=(6, 0), textcoords="offset points", va="top")
    ticks(axes, moments / SECOND, -2.6, 1.2, INK)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    limit_line(axes, zorder=0)
    axes.set_xlim(first, last)
    axes.set_ylim(-3.2, 2 * LIMIT + 1)
    axes.set_yticks([-2, 0, LIMIT, 2 * LIMIT], ["requests", "0", f"limit {LIMIT}", "24"])
    axes.set_ylabel("admitted so far")
    axes.set_xlabel("seconds from the boundary of two windows")
    plain(axes)
    return figure


def estimate():
    """Draw the worst case of a sliding window: its estimate of the last minute, and the true count."""
    limiter, boundary = SlidingWindow(QUOTA), START + PERIOD * SECOND
    moments = [-1] * LIMIT + [None] * (LIMIT - 1)  # the first twelve in the last nanosecond before the boundary
    for i, moment in enumerate(moments):
        if moment is None:
            moments[i] = limiter.peek("key", now=boundary).retry_after_ns  # the next as soon as it is admitted
        limiter.hit("key", now=boundary + moments[i])
    when, truth = trailing(np.array(moments))
    seconds = np.linspace(0, PERIOD, 10 * PERIOD + 1)
    current = np.searchsorted(np.array(moments[LIMIT:]) / SECOND, seconds, side="right")
    share = LIMIT * (1 - seconds / PERIOD)
    figure, axes = plt.subplots(figsize=(8.6, 4))
    axes.fill_between(seconds, current, color=LIGHT, linewidth=0)
    axes.fill_between(
        seconds, current, current + share, facecolor=PREVIOUS, edgecolor=FAINT, hatch="\\\\\\\\", linewidth=0
    )
    axes.plot(seconds, current + share, color=INK, linewidth=1)
    axes.step([-5, 0, *when[1:]], [0, 0, *truth[1:]], where="post", color=REFUSED, linewidth=2)
    limit_line(axes)
    axes.text(20, 19.5, "admitted in the last minute", color=REFUSED, fontweight="bold", ha="center")
    for at, text in [((15, 7.5), "the share of the last window still in view"), ((45, 4), "this window's count")]:
        axes.text(*at, text, ha="center", va="center", bbox={"facecolor": PAPER, "linewidth": 0, "pad": 2})
    axes.set_xlim(-5, 64)
    axes.set_ylim(0, 2 * LIMIT)
    axes.set_yticks([0, LIMIT, 2 * LIMIT - 1], ["0", f"limit {LIMIT}", "23"])
    axes.set_ylabel("requests")
    axes.set_xlabel("seconds since the window began")
    plain(axes)
    return figure


# From the promise to the processes: each layer, and below it the method that connects it with the next one.
LAYERS = [
    (
        "Theorems",
        "what each algorithm admits at most",
        ["proofs on paper, and random traffic", "tests/property/test_promises.py"],
    ),
    (
        "Specification",
        "fractions and loops: tests/oracle.py",
        ["every verb, in any order, compared field by field", "tests/property"],
    ),
    (
        "Decision functions",
        "integers, one algorithm a file",
        ["histories of threads have a sequential order", "tests/concurrency"],
    ),
    (
        "Protocol of the table",
        "find, claim, settle, commit, forget",
        ["spin: every interleaving; relacy: C11 memory orders", "tests/protocol"],
    ),
    ("Compiled core", "x86-64 and aarch64", ["native threads, ThreadSanitizer, qemu", "tests/native"]),
    (
        "Processes",
        "that share one table",
        ["eight that send requests, a ninth that kills them", "tests/tables/test_killed_workers.py"],
    ),
]


def proofs():
    """Draw what is proved by what."""
    figure, axes = plt.subplots(figsize=(8.6, 6.6))
    for place, (name, text, (method, where)) in enumerate(LAYERS):
        y = -place * 1.5
        axes.add_patch(plt.Rectangle((0, y - 0.4), 4.1, 0.85, facecolor=LIGHT, edgecolor=ADMITTED, linewidth=1.2))
        axes.text(2.05, y + 0.17, name, ha="center", va="center", fontweight="bold", fontsize=11.5)
        axes.text(2.05, y - 0.18, text, ha="center", va="center", fontsize=9.5)
        last = place == len(LAYERS) - 1
        middle = y if last else y - 0.72
        if not last:
            axes.annotate("", (2.05, y - 1.03), (2.05, y - 0.42), arrowprops={"arrowstyle": "<->", "color": INK})
        axes.plot([2.2 if not last else 4.2, 4.5], [middle, middle], color=FAINT, linewidth=0.8)
        axes.text(4.6, middle + 0.15, method, va="center", fontsize=10.5)
        axes.text(4.6, middle - 0.17, where, va="center", fontsize=9, color=SERVED, family="monospace")
    axes.set_xlim(-0.05, 9.9)
    axes.set_ylim(-1.5 * (len(LAYERS) - 1) - 0.55, 0.55)
    axes.axis("off")
    return figure


PICTURES = {"same-traffic": same_traffic, "boundary": boundary, "estimate": estimate, "proofs": proofs}


def save(figure, name, folder=Path(__file__).parent / "pictures"):
    """Write a picture and its dark twin, with two decimals for the places of a path."""
    figure.tight_layout()
    light = folder / f"{name}.svg"
    figure.savefig(light, metadata={"Date": None})
    plt.close(figure)
    text = re.sub(r' d="[^"]*"', lambda path: shorter(path[0]), light.read_text(encoding="utf-8"))
    light.write_text(text, encoding="utf-8")
    found = set(re.findall(r"#[0-9a-f]{6}\b", text))
    if unknown := found - {colour.lower() for colour in DARK}:
        raise ValueError(f"{name}: expected colours that DARK translates, got {sorted(unknown)}")
    dark = {colour.lower(): other for colour, other in DARK.items()}
    (folder / f"{name}-dark.svg").write_text(re.sub(r"#[0-9a-f]{6}\b", lambda c: dark[c[0]], text), encoding="utf-8")
    print(light)


def shorter(path):
    numbers = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path)
    return re.sub(r"\s*\n\s*", " ", numbers)


def use_style():
    """Set what all pictures have in common.

    Text is outlines, so that it looks the same without the font; ids and date are fixed, so that the same decisions
    give the same file.
    """
    mpl.use("svg")
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    mpl.rcParams.update(
        {"svg.fonttype": "path", "svg.hashsalt": "ratelimit", "font.size": 10, "hatch.linewidth": 0.6}
        | dict.fromkeys(names, INK)
    )


def main():
    use_style()
    for name, draw in PICTURES.items():
        save(draw(), name)


if __name__ == "__main__":
    main()
