"""Replay requests that are already arrays."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..quota import checked_int
from ._counting import KeyIds
from .batch import COUNTED_KEYS, Batch, key_text
from .engine import Engine, keys_needed
from .limits import Limit
from .reading.timestamps import LATEST, LATEST_YEAR
from .report import Report


def replay(
    times: ArrayLike,
    keys: "ArrayLike | Sequence[object]",
    limits: "Iterable[Limit | str] | Limit | str",
    *,
    keep: bool = False,
    counted_keys: int = COUNTED_KEYS,
    progress: Callable[[int], object] = lambda decided: None,
) -> Report:
    """Decide requests by several limits, each on its own.

    Args:
        times: n of them, integer nanoseconds since the epoch; if they are not sorted, they are decided in their
            order.
        keys: n integers (fastest), or n of str or bytes: an array, a list, or a column of a table that is as
            good as one.
        limits: such as `"token-bucket 10/second burst 20"`, see Limit; one or several.
        keep: whether each outcome has its n decisions, as `allowed`.
        counted_keys: how many keys are counted each for itself; all others share one count. Decisions are not
            touched by it.
        progress: called after each part with the number of its decisions.

    Returns: a Report. Interrupted (KeyboardInterrupt), it reports what is known so far.

    Raises: TypeError, ValueError, naming the argument, its value and what is accepted.
    """
    counted_keys = checked_int(counted_keys, "counted_keys", least=0, bits=31)
    when = _times(times)
    numerals, name = _numerals(keys, len(when))
    ids = KeyIds(counted_keys)
    batch = Batch(when, numerals, ids.of(numerals))
    order = np.argsort(when, kind="stable") if (when[1:] < when[:-1]).any() else None
    if order is not None:
        batch = batch.at(order)
    distinct = ids.size if ids.size < counted_keys else _distinct(numerals)
    engine = Engine(
        limits,
        max_keys=lambda limit: keys_needed(limit, distinct, batch.times),
        counted_keys=counted_keys,
        keep=keep,
        progress=progress,
    )
    complete = engine.run([batch])
    hashed = ids.known()
    return engine.report(lambda number: name(hashed[number]), ids.size, distinct, complete=complete, order=order)


def _times(times: ArrayLike) -> NDArray[np.int64]:
    array = given = np.asarray(times)
    if array.ndim != 1 or (array.dtype.kind not in "iuM" and len(array)):
        raise TypeError(
            "times: expected a one-dimensional array of integer nanoseconds since the epoch (or datetime64), "
            f"got {array.dtype} and shape {array.shape}"
        )
    latest: Any = LATEST
    if array.dtype.kind == "M":
        years = given.astype("datetime64[Y]").astype(np.int64)  # whose nanoseconds could be too many for 64 bits
        array = np.where((years >= 0) & (years <= LATEST_YEAR - 1970), given, np.datetime64("NaT"))
        array = array.astype("datetime64[ns]").astype(np.int64)
        latest = np.datetime64(LATEST, "ns")
    wrong = np.flatnonzero((array < 0) | (array > LATEST))
    if len(wrong):
        raise ValueError(f"times: expected from 0 to {latest}, got {given[wrong[0]]} (at index {wrong[0]})")
    return array.astype(np.int64)


def _distinct(numerals: NDArray[np.uint64]) -> int:
    """Return how many numerals differ; np.unique hashes them, which for a million takes ten times as long."""
    ordered = np.sort(numerals)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)


def _numerals(keys: Any, size: int) -> tuple[NDArray[np.uint64], Callable[[np.uint64], str]]:
    """Return the keys as 64 bits each, texts by Python's own SipHash, and a function from such a number to its key."""
    if isinstance(keys, (str, bytes)) or not (isinstance(keys, Sequence) or hasattr(keys, "__array__")):
        raise TypeError(f"keys: expected an array of integers, bytes or str, or a list, got {type(keys).__name__}")
    if isinstance(keys, Sequence):
        array = _list_of_one_kind(list(keys))
    else:
        array = np.asarray(keys)
        if array.ndim == 1 and array.dtype.kind == "O":
            array = _list_of_one_kind(array.tolist())
    if array.ndim != 1:
        raise TypeError(f"keys: expected a one-dimensional array, got one of shape {array.shape}")
    if len(array) != size:
        raise ValueError(f"keys: expected as many as there are times, {size}, got {len(array)}")
    if array.dtype.kind in "iu" or not size:
        wide: type = np.uint64 if array.dtype.kind == "u" else np.int64
        return array.astype(wide).view(np.uint64), lambda numeral: str(numeral.astype(wide))
    if array.dtype.kind not in "SU":
        raise TypeError(f"keys: expected integers, bytes or str, got {array.dtype}")
    distinct, codes = np.unique(array, return_inverse=True)
    hashes = np.array([hash(key) for key in distinct.tolist()], np.int64).view(np.uint64)
    names = dict(zip(hashes.tolist(), distinct.tolist(), strict=True))
    return hashes[codes], lambda numeral: key_text(names[int(numeral)])


def _list_of_one_kind(keys: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, keys))
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        try:
            return np.array(keys, np.int64)
        except OverflowError:
            pass
        try:
            return np.array(keys, np.uint64)
        except OverflowError:
            raise ValueError("keys: expected integers of 64 bits, all signed or all unsigned") from None
    if kinds not in ({str}, {bytes}):
        raise TypeError(
            "keys: expected integers, bytes or str, all of one kind, got "
            + ", ".join(sorted(kind.__name__ for kind in kinds))
        )
    return np.array(keys)
