"""Replay the lines of logs."""

from collections import Counter
from collections.abc import Callable, Iterable
from os import PathLike, fspath

from ..quota import checked_int
from .batch import COUNTED_KEYS
from .engine import GROWTH, Engine, NoRoom, first_room
from .limits import Limit
from .report import Report


def replay_log(
    logs: "str | PathLike[str] | Iterable[str | PathLike[str]]",
    limits: "Iterable[Limit | str] | Limit | str",
    *,
    key: str = "client",
    format: str | None = None,
    time: str = "time",
    window: float = 60,
    max_keys: int | None = None,
    counted_keys: int = COUNTED_KEYS,
    progress: Callable[[int], object] = lambda size: None,
    note: Callable[[str], object] = lambda text: None,
) -> Report:
    """Decide the lines of logs by several limits, in memory that does not grow with the logs.

    Args:
        logs: a path, plain, gzip or zstd; several; or "-" for standard input.
        limits: as for `replay`.
        key: what to count by, such as `client`, `client/64` or `user + path/2`; see keys.Key.
        format: "combined", "common", "json" or "csv"; by default found out from the first lines.
        time: the field with the moment, in JSON and CSV.
        window: seconds within which lines are sorted.
        max_keys: how many keys may be live at once, for each limit. By default as many as it takes: when there is
            no room, all is done again with more of it. Standard input can be read only once; then the
            requests without room are refused, and the outcome's `full` counts them.
        counted_keys: as for `replay`.
        progress: called with the number of bytes that were read.
        note: called with a message if the replay starts again.

    Returns: a Report. Interrupted (KeyboardInterrupt), it reports what is known so far.

    Raises: ValueError for a limit, a key or a log that cannot be understood; OSError for one that cannot be read;
        ImportError without the extra `replay`.
    """
    from .reading.reader import Reader

    sources = _paths(logs)
    chosen = Limit.all_of(limits)
    if max_keys is not None:
        max_keys = checked_int(max_keys, "max_keys")
    counted_keys = checked_int(counted_keys, "counted_keys", least=0, bits=31)
    once = max_keys is not None or "-" in sources
    growth: Counter[Limit] = Counter()  # how often a limit's room did not suffice
    while True:
        reader = Reader(
            sources, key, format=format, time=time, window=window, counted_keys=counted_keys, progress=progress
        )
        engine = Engine(
            chosen,
            max_keys=lambda limit: max_keys or first_room(limit) * GROWTH ** growth[limit],
            counted_keys=counted_keys,
            on_full="deny" if once else "raise",
        )
        try:
            complete = engine.run(reader.chunks())
        except NoRoom as full:
            growth[full.limit] += 1
            note(f"{full.limit}: more keys are live at once than there is room for; from the start, with more of it")
            continue
        return engine.report(
            reader.name, reader.numbers.size, reader.distinct, source=reader.source(), complete=complete
        )


def _paths(logs: "str | PathLike[str] | Iterable[str | PathLike[str]]") -> list[str]:
    paths = [logs] if isinstance(logs, (str, PathLike)) or not isinstance(logs, Iterable) else list(logs)
    if not paths or not all(isinstance(path, (str, PathLike)) for path in paths):
        raise TypeError(f"logs must be a path (str or Path), several, or '-', not {logs!r}")
    return [fspath(path) for path in paths]
