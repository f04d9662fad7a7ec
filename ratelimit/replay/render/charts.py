"""The report's pictures. Colours are classes, so that a page can be light or dark."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil, floor, log10

from markupsafe import Markup

from ..._engine.constants import NS_PER_SECOND as NS
from ..measures import STEPS
from ..report import Largest
from .text import duration, percent

WIDTH = 960
LEFT, RIGHT = 64, 12
STEPS_OF_TIME = [
    *(s * NS // 1_000 for s in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(s * NS for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200)),
    *(d * 86_400 * NS for d in (1, 2, 7, 14, 28, 91, 182, 365, 730, 3_650, 36_500)),
]
ROUND_TIMES = [*(10.0**i for i in range(-9, 2)), 60.0, 600.0, 3_600.0, 36_000.0, 864_000.0, 8_640_000.0, 86_400_000.0]
FINE_TIMES = [*(n * 10.0**i for i in range(-9, 0) for n in (1, 2, 5)), *(s / NS for s in STEPS_OF_TIME if s >= NS)]


def over_time(start_ns: int, bin_ns: int, requests: Sequence[int], refused: Sequence[int], text: str) -> Markup:
    """Draw admitted requests over time, with the refused ones on top, and a mark below the axis at each refusal."""
    height, top, foot = 168, 8, 130
    most = nice(max(requests, default=0))
    x = scale(0, max(len(requests), 1), LEFT, WIDTH - RIGHT)
    y = scale(0, most, foot, top)
    admitted = [all_ - no for all_, no in zip(requests, refused, strict=True)]
    parts = [grid_line(y(value), f"{value:,}") for value in (0, most // 2, most)]
    parts.append(Markup(f'<path class="admitted" d="{steps(admitted, [0] * len(admitted), x, y)}"/>'))
    parts.append(Markup(f'<path class="refused" d="{steps(requests, admitted, x, y)}"/>'))
    marks = "".join(
        f"M{x(i):.1f} {foot + 3}H{x(i + 1):.1f}v5H{x(i):.1f}z" for i, number in enumerate(refused) if number
    )
    parts.append(Markup(f'<path class="refused" d="{marks}"/>'))
    for at, label in time_ticks(start_ns, start_ns + bin_ns * len(requests)):
        place = x((at - start_ns) / bin_ns)
        parts.append(Markup(f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{foot}" y2="{foot + 10}"/>'))
        if LEFT + 14 <= place <= WIDTH - 30:
            parts.append(label_at(place, foot + 24, label, "middle"))
    return picture(height, text, parts)


def most_in_a_period(rows: Sequence[tuple[str, Largest]], text: str) -> Markup:
    """Draw the largest number admitted in one period, in multiples of the limit, and the proved bound."""
    left, right, line = 8, 150, 46
    foot = line * len(rows) + 4
    most = max([1.25, *(max(largest.admitted, largest.most) / largest.limit for _, largest in rows)])
    x = scale(0, most, left, WIDTH - right)
    parts, names = [], []
    for number, (name, largest) in enumerate(rows):
        y = line * number
        ratio, bound = largest.admitted / largest.limit, largest.most / largest.limit
        names.append(label_at(left, y + 15, name, "start", "name"))
        parts.append(Markup(f'<rect class="bound" x="{left}" y="{y + 21}" width="{x(bound) - left:.1f}" height="16"/>'))
        within = x(min(ratio, 1)) - left
        parts.append(Markup(f'<rect class="admitted" x="{left}" y="{y + 21}" width="{within:.1f}" height="16"/>'))
        if ratio > 1:
            over = x(ratio) - x(1)
            parts.append(Markup(f'<rect class="refused" x="{x(1):.1f}" y="{y + 21}" width="{over:.1f}" height="16"/>'))
        said = f"{largest.admitted:,} ({ratio:.2f} x)"
        parts.append(label_at(WIDTH - right + 8, y + 34, said, "start", "value"))
    parts.append(Markup(f'<line class="limit" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="4" y2="{foot}"/>'))
    parts.append(label_at(x(1), foot + 16, "the limit", "middle"))
    return picture(foot + 24, text, [*parts, *names])


def histogram(pairs: Iterable[tuple[float, int]], kind: str, text: str) -> Markup:
    """Draw a histogram of (seconds, number) pairs on a logarithmic axis; zero seconds are on the left."""
    width, height, top, foot = WIDTH // 2, 176, 18, 136
    zero, bars = 0, dict[int, int]()
    for seconds, number in pairs:
        if seconds:
            step = floor(log10(seconds) / log10(2) * STEPS / 4 + 1e-9)  # four bars for each doubling
            bars[step] = bars.get(step, 0) + number
        else:
            zero += number
    low, high = min(bars, default=0), max(bars, default=0) + 1
    low, high = min(low, high - 16), high + 1
    most = nice(max([zero, *bars.values()]))
    x = scale(low, high, LEFT + 40 if zero else LEFT, width - RIGHT)
    y = scale(0, most, foot, top)
    parts = [grid_line(y(value), f"{value:,}", width) for value in (0, most // 2, most)]
    for step, number in bars.items():
        parts.append(bar(x(step) + 0.5, y(number), x(step + 1) - x(step) - 1, foot, kind, f"{number:,}"))
    if zero:
        parts.append(bar(LEFT + 8, y(zero), 20, foot, kind, f"{zero:,}"))
        parts.append(label_at(LEFT + 18, foot + 18, "0", "middle"))
    for marks in (ROUND_TIMES, FINE_TIMES):  # the finer ones if at most one of the others fits
        places = [(seconds, x(log10(seconds) / log10(2) * STEPS / 4)) for seconds in marks]
        places = [(seconds, place) for seconds, place in places if x(low) - 1 <= place <= width - RIGHT + 1]
        if len(places) > 1:
            break
    for seconds, place in places:
        parts.append(Markup(f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{foot}" y2="{foot + 6}"/>'))
        parts.append(label_at(place, foot + 20, duration(seconds), "middle"))
    return picture(height, text, parts, width)


def curves(lines: Sequence[Sequence[tuple[int, float]]], target: float, per: str, text: str) -> Markup:
    """Draw shares against the limit, both logarithmic, a line for each algorithm; zero is below the axis."""
    height, top, foot, zero = 340, 12, 246, 276
    numbers = sorted({number for line in lines for number, _ in line})
    shares = [share for line in lines for _, share in line if share]
    lowest = min([0.1, target or 1, *shares])
    decades = range(floor(log10(lowest) + 1e-9), 1)
    x = scale(log10(numbers[0]), log10(numbers[-1]), LEFT + 16, WIDTH - RIGHT - 16)
    y = scale(decades[0], 0, foot, top)
    parts = [grid_line(y(power), f"{10.0 ** (power + 2):g} %") for power in decades]
    parts.append(grid_line(zero, "0"))
    if target:
        level = y(log10(target))
        ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}"'
        parts.append(Markup(f'<line class="limit" {ends} y1="{level:.1f}" y2="{level:.1f}"/>'))
        parts.append(label_at(WIDTH - RIGHT, level - 6, f"at most {percent(target)}", "end", "value"))
    parts += [label_at(x(log10(number)), zero + 20, f"{number:,}", "middle") for number in numbers]
    parts.append(label_at(WIDTH / 2, zero + 42, f"limit per {per}", "middle"))
    for kind, line in enumerate(lines, 1):
        places = [(x(log10(number)), y(log10(share)) if share else zero + 0.0, share) for number, share in line]
        path = "L".join(f"{across:.1f} {down:.1f}" for across, down, _ in places)
        parts.append(Markup(f'<path class="curve c{kind}" d="M{path}"/>'))
        for (across, down, share), (number, _) in zip(places, line, strict=True):
            said = f"{number:,} per {per}: {percent(share)}"
            parts.append(
                Markup('<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
                    kind, across, down, said
                )
            )
    return picture(height, text, parts)


# --- pieces


class scale:
    """Return the linear function through (low, begin) and (high, end)."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.begin = low, begin
        self.slope = (end - begin) / (high - low or 1)

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) * self.slope


def picture(height: int, text: str, parts: Iterable[Markup], width: int = WIDTH) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(
        width, height, text, text
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def steps(upper: Sequence[int], lower: Sequence[int], x: scale, y: scale) -> str:
    """Return the path of the area between two step lines, without its empty parts."""
    runs: list[list[int]] = []
    for i, (high, low) in enumerate(zip(upper, lower, strict=True)):
        if high == low:
            continue
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    path = []
    for run in runs:
        there = "".join(f"V{y(upper[i]):.1f}H{x(i + 1):.1f}" for i in run)
        back = "".join(f"V{y(lower[i]):.1f}H{x(i):.1f}" for i in reversed(run))
        path.append(f"M{x(run[0]):.1f} {y(lower[run[0]]):.1f}{there}{back}z")
    return "".join(path)


def bar(x: float, y: float, width: float, foot: float, kind: str, said: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    ).format(kind, x, y, width, foot - y, said)


def label_at(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def grid_line(y: float, label: str, width: int = WIDTH) -> Markup:
    line = Markup(f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return line + label_at(LEFT - 8, y + 4, label, "end")


def nice(number: int) -> int:
    """Return the next even number with one or two significant digits, for the end of an axis."""
    if number <= 2:
        return 2
    size = int(10 ** max(floor(log10(number)) - 1, 0))
    return 2 * ceil(number / (2 * size)) * size


def time_ticks(first: int, last: int, most: int = 9) -> list[tuple[int, str]]:
    """Return round times between first and last, and their labels."""
    step = next((step for step in STEPS_OF_TIME if (last - first) // step < most), STEPS_OF_TIME[-1])
    places = range(-(-first // step) * step, last + 1, step)
    form = "%Y-%m-%d" if step >= 86_400 * NS else "%H:%M" if step >= 60 * NS else "%H:%M:%S"
    labels = [datetime.fromtimestamp(at // NS, UTC).strftime(form) for at in places]
    if step < NS:
        labels = [f"{label}.{at % NS // 1_000_000:03}" for label, at in zip(labels, places, strict=True)]
    if form == "%H:%M":  # a new day shows its date
        days = [at // (86_400 * NS) for at in places]
        for i, (before, day) in enumerate(pairwise(days), 1):
            if day != before:
                labels[i] = datetime.fromtimestamp(places[i] // NS, UTC).strftime("%b %d")
    return list(zip(places, labels, strict=True))
