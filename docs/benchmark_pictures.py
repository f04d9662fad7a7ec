"""Draw the pictures of the benchmarks: `python docs/benchmark_pictures.py` writes them to docs/pictures."""

import sys
from pathlib import Path

from matplotlib import pyplot as plt

sys.path.insert(0, str(Path(__file__).parent))
from benchmark_pages import DOCS, FLOORS, Numbers, figure, is_peer, saved
from pictures import ADMITTED, FAINT, INK, SERVED, save, use_style

OURS, PEER, FLOOR = ADMITTED, FAINT, SERVED


def colour_of(name):
    return FLOOR if name in FLOORS else PEER if is_peer(name) else OURS


def colour_of_server(name):
    return FLOOR if name.startswith("bare ASGI") else PEER if " + " in name or name.startswith("bare") else OURS


def bars(
    values: dict[str, float], unit: str, *, logarithmic: bool = True, ideal: float | None = None, colour=colour_of
):
    """Draw a bar for each name, the first one at the top."""
    figure_, axes = plt.subplots(figsize=(8.6, 0.34 * len(values) + 0.9))
    names, numbers = list(values), list(values.values())
    places = range(len(names), 0, -1)
    axes.barh(list(places), numbers, color=[colour(name) for name in names], height=0.68)
    axes.set_yticks(list(places), names)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(min(numbers) * 0.55, max(numbers) * 2.2)
    else:
        axes.set_xlim(0, max(*numbers, ideal or 0) * 1.15)
    if ideal is not None:
        axes.axvline(ideal, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    for place, number in zip(places, numbers, strict=True):
        axes.annotate(
            figure(number), (number, place), xytext=(5, 0), textcoords="offset points", va="center", fontweight="bold"
        )
    axes.set_xlabel(unit + (", on a logarithmic scale" if logarithmic else ""))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(axis="both", which="both", length=0)
    return figure_


def how_fast(numbers: Numbers):
    values = numbers.column("`allow`, nanoseconds") | numbers.column("Other libraries, nanoseconds")
    values.pop("an empty C method")
    return bars(
        dict(sorted(values.items(), key=lambda item: item[1])), "nanoseconds of a decision, one hot key, admitted"
    )


def how_it_grows(numbers: Numbers):
    """Draw the time for one key, for 10,000 and for 1,000,000."""
    figure_, axes = plt.subplots(figsize=(8.6, 5.4))
    rows = {row[0].replace("`", ""): row for row in numbers.tables["`allow`, nanoseconds"].rows}
    rows |= {row[0]: row for row in numbers.tables["Other libraries, nanoseconds"].rows}
    chosen = ["dict.get", "TokenBucket.allow", "SlidingLog.allow", *(name for name in rows if is_peer(name))]
    ends = []
    for name in chosen:
        row = rows[name]
        values = [row[1], row[3], row[4]]
        main = not is_peer(name)
        axes.plot(
            [0, 1, 2],
            values,
            color=colour_of(name),
            linewidth=2.2 if main else 1,
            marker="o",
            markersize=5 if main else 3,
        )
        ends.append([values[-1], name])
    place = 0.0
    for value, name in sorted(ends):  # labels do not overlap: each at least a quarter above the one below it
        place = max(value, place * 1.26)
        weight = "bold" if not is_peer(name) else "normal"
        axes.annotate(
            f"{name}  {figure(value)}", (2, value), xytext=(2.08, place), va="center", fontsize=9, fontweight=weight
        )
    axes.set_yscale("log")
    axes.set_ylabel("nanoseconds of a decision")
    axes.set_xlim(-0.1, 3.3)
    axes.set_xticks([0, 1, 2], ["one hot key", "10,000 in turn", "1,000,000\nat random"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)
    return figure_


def how_much_memory(numbers: Numbers):
    values = dict(sorted(numbers.column("Bytes a key").items(), key=lambda item: item[1]))
    return bars(values, "bytes of a live key", logarithmic=False)


def how_it_scales(numbers: Numbers):
    titles = {
        "Two threads, `allow_many`": "threads, allow_many",
        "Two processes, `allow` on one shared table": "processes, allow",
        "Two threads without a GIL, `allow`": "threads without a GIL, allow",
    }
    values = {}
    for title, short in titles.items():
        for name, gain in numbers.column(title).items():
            values[name if name in FLOORS else f"{short}: {name}"] = gain
    values = {name: values[name] for name in sorted(values, key=lambda name: name in FLOORS)}
    return bars(values, "the work of two, divided by that of one; 2 at best", logarithmic=False, ideal=2)


def over_a_network(numbers: Numbers):
    values = numbers.column("One decision by a server")
    return bars(dict(sorted(values.items(), key=lambda item: item[1])), "microseconds of a decision", logarithmic=False)


def the_gateway():
    """Draw the requests a second of each server, which the page of the gateway has in a table."""
    page = (DOCS / "gateway-benchmarks.md").read_text(encoding="utf-8")
    [table] = [part for part in page.split("\n\n") if part.startswith("|  | a second |")]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    values = {name: float(per_second.replace(",", "")) for name, per_second, _ in cells}
    return bars(values, "requests a second", logarithmic=False, colour=colour_of_server)


PICTURES = {
    "bench-fast": how_fast,
    "bench-growth": how_it_grows,
    "bench-memory": how_much_memory,
    "bench-scale": how_it_scales,
    "bench-network": over_a_network,
}


def main():
    use_style()
    for name, draw in PICTURES.items():
        save(draw(Numbers(saved())), name)
    save(the_gateway(), "bench-gateway")


if __name__ == "__main__":
    main()
