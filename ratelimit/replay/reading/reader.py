"""Logs as batches of requests."""

from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .._counting import KeyIds
from .._scanning import first_rows, hash_texts
from ..batch import COUNTED_KEYS, UNKNOWN, Batch, key_text, together
from ..report import Source
from .files import Block, Condition, Splitter, read_blocks
from .formats import records, tables
from .formats.base import Format, Rows
from .formats.detect import format_of
from .formats.fields import shown
from .keys import Key
from .mixed import Mixed
from .names import Names, Numbering
from .timestamps import BROKEN, LATEST, times_of
from .usual import Usual, UsualLines
from .where import Where

SHOWN = 5  # broken lines
SHOWN_SIZE = 120
UNREAD = 64  # blocks at the start of a log, which may be in no known format
DISTINCT = 200_000  # user agents, and targets, that are distinguished
PROFILE = ("status", "agent", "method", "path")


class Reader:
    """Requests of one or several logs, one log after the other, and what was met on the way.

    Args:
        sources: paths, or "-" for standard input.
        key: what to count by, see Key.
        format: the format's name, or a Format; by default found out from each source's first lines.
        time: the field with the time; by default `time` or another usual name.
        counted_keys: how many keys get an id, and have their name kept.
        where: which requests count, see Where; by default all.
        since, until: nanoseconds; requests before, or from then on, do not count.
        sample: the share of the keys that count, with all of their requests.
        profile: whether batches have what `suggest` needs to tell abuse from use.
        progress: called with the number of bytes that were read.
        blocks: reads a source; see read_blocks.
    """

    def __init__(
        self,
        sources: list[str],
        key: str = "client",
        *,
        format: "str | Format | None" = None,
        time: str = "time",
        counted_keys: int = COUNTED_KEYS,
        where: Where | None = None,
        since: int = 0,
        until: int = LATEST,
        sample: float = 1.0,
        profile: bool = False,
        progress: Callable[[int], object] = lambda size: None,
        blocks: Callable[..., Iterator[Block]] = read_blocks,
    ) -> None:
        self._blocks = blocks
        self.sources, self.key, self.format, self.time = sources, Key.parse(key), format, time
        self.key_text, self.progress, self.profile = key, progress, profile
        self.key_ids = KeyIds(counted_keys)
        self.agents, self.targets = Numbering(DISTINCT), Numbering(DISTINCT)
        self.requests = self.lines = self.broken = self.blank = self.out_of_order = 0
        self.more_keys = False  # whether there was a key without an id
        self.broken_lines: list[tuple[str, int, str]] = []
        self.condition = Condition([])
        self.missing = dict.fromkeys(self.key.fields, 0)  # of the key: requests that do not have the field
        self.formats: dict[str, Format] = {}  # by source
        self._names = Names()  # by id
        self._usual: UsualLines | None = None
        self.others: list[Mixed] = []  # of each source, its further formats
        self.where, self.since, self.until, self.sample = where, since, until, sample
        self.excluded = 0
        filtered = where.fields if where else ()
        self._wanted = list(dict.fromkeys([time, *self.key.fields, *filtered, *(PROFILE if profile else ())]))
        self._mixed = Mixed(self._wanted, self.key.fields, time)

    def batches(self) -> Iterator[Batch]:
        """All requests, as they come.

        Raises: ValueError when a source is in no known format or lacks a field in every line, OSError when it cannot
        be read.
        """
        for source in self.sources:
            yield from self._batches_of(source)

    def finish(self) -> None:
        """Check, after the last batch, that what was read makes sense.

        Raises: ValueError when not one line could be read, or no request has a field of the key.
        """
        if not self.requests:
            raise ValueError(f"{', '.join(self.sources)}: {self._why_nothing()}")
        for field, missing in self.missing.items():
            if missing == self.requests:
                names = dict.fromkeys(name for form in self.formats.values() for name in form.names())
                raise ValueError(f"{self.sources[0]}: no line has a field {field!r} (choose from {shown(names)})")

    def name(self, number: int) -> str:
        """Return the key that has this id."""
        return self._names[number]

    @property
    def distinct(self) -> int:
        """The number of keys that have an id; `more_keys` is true if there are others."""
        return self.key_ids.size

    def source(self) -> Source:
        """Return the description of the logs read so far."""
        taken: dict[str, dict[str, None]] = {}
        forms = [*self.formats.values(), *(form for mixed in self.others for form in mixed.found)]
        for form in forms:
            for field, name in form.taken.items():
                if field in (self.time, *self.key.fields):
                    taken.setdefault(field, {})[name] = None
        return Source(
            names=self.sources,
            formats=list(dict.fromkeys(form.name for form in forms)),
            fields={field: list(names) for field, names in taken.items()},
            key=self.key_text,
            lines=self.lines,
            broken=self.broken,
            broken_lines=self.broken_lines,
            blank=self.blank,
            nul_bytes=self.condition.nul_bytes,
            damaged=self.condition.damaged,
            missing={field: missing for field, missing in self.missing.items() if missing},
            out_of_order=self.out_of_order,
            excluded=self.excluded,
        )

    def _batches_of(self, source: str) -> Iterator[Batch]:
        form = self.format if isinstance(self.format, Format) else None
        newest: int | None = None
        unknown: list[ValueError] = []  # of the first blocks, why they are in no known format
        for block in self._blocks(source, self.progress, self.condition, splitter):
            if form is None and not block.data.strip():
                self.blank += len(block)
                continue
            if form is None:
                try:
                    form = format_of(block, self._wanted, self.format)  # type: ignore[arg-type]
                except ValueError as error:
                    unknown.append(error)
                    if self.format is not None or len(unknown) == UNREAD:
                        raise unknown[0] from None
                    self.lines += len(block)
                    self._note_broken(block, self._without_blank(block, np.arange(len(block))))
                    continue
                self._check_fields(form, source)
            if newest is None:
                self.formats[source], newest = form, BROKEN
                self._mixed = Mixed(self._wanted, self.key.fields, self.time)
                self.others.append(self._mixed)
                self._usual = None
                if self.where is None and self.sample == 1 and UsualLines.fits(form, self.key, self.time):
                    self._usual = UsualLines(self.key, self.profile)
                    form.rows(block.lines.slice(0, 0), self._wanted)  # settles the names of the fields
            batch = self._batch(block, form)
            if len(batch.times):
                newest = self._count_order(batch.times, newest)
            yield batch
        if form is None and unknown:
            raise unknown[0]

    def _check_fields(self, form: Format, source: str) -> None:
        for field in (self.time, *self.key.fields, *(self.where.fields if self.where else ())):
            if not form.has(field):
                advice = (
                    "; take a log with times, or one that syslog or a container runtime wrote"
                    if field == "time"
                    else ""
                )
                raise ValueError(
                    f"{source}: a {form.name} log has no field {field!r} (choose from {shown(form.names())}){advice}"
                )

    def _batch(self, block: Block, form: Format) -> Batch:
        self.lines += len(block)
        parts: list[tuple[Batch, NDArray[np.int64]]] = []
        rest = np.arange(len(block))
        if self._usual is not None:
            usual = self._usual.read(block.data)
            parts.append(self._counted(block, usual))
            rest = usual.others
        if len(rest) or not parts:
            batch, lines, rest = self._parsed(block, form, rest)
            parts.append((batch, lines))
        rest = self._without_blank(block, rest, form) if len(rest) else rest
        for other in self._mixed.formats(block, rest) if len(rest) and self.format is None else ():
            batch, lines, rest = self._parsed(block, other, rest, complete=True)
            parts.append((batch, lines))
        self._note_broken(block, rest)
        if len(parts) == 1:
            return parts[0][0]
        order = np.argsort(np.concatenate([lines for _, lines in parts]), kind="stable")
        return together([batch for batch, _ in parts]).at(order)

    def _counted(self, block: Block, usual: Usual) -> tuple[Batch, NDArray[np.int64]]:
        """Return the requests of usual lines, and their line numbers in the block."""
        ids: NDArray[np.int32] = self.key_ids.of(usual.hashes)
        self.more_keys |= bool(ids.max(initial=0) == self.key_ids.maximum)
        starts, sizes = usual.clients
        new = first_rows(ids, len(self._names), self.key_ids.size)
        if usual.canonical:
            for row in new.tolist():
                name = usual.canonical.get(int(usual.hashes[row]))
                self._names.append(block.data[starts[row] : starts[row] + sizes[row]] if name is None else name)
        else:
            self._names.extend(block.data, starts[new], sizes[new])
        batch = Batch(usual.times, usual.hashes, ids)
        if usual.targets is not None and usual.agents is not None:
            agents = self.agents.of_spans(block.data, *usual.agents)
            batch = Batch(*batch[:3], usual.statuses, agents, self.targets.of_spans(block.data, *usual.targets))
        keep = (usual.times >= self.since) & (usual.times < self.until)
        kept = int(np.count_nonzero(keep))
        self.requests += kept
        self.excluded += len(keep) - kept
        return (batch, usual.lines) if kept == len(keep) else (batch.at(keep), usual.lines[keep])

    def _parsed(
        self, block: Block, form: Format, numbers: NDArray[np.int64], complete: bool = False
    ) -> tuple[Batch, NDArray[np.int64], NDArray[np.int64]]:
        """Return the requests of some lines of a block, their line numbers in it, and those that could not be read.

        Args:
            complete: whether a line without a field of the key is not a request.
        """
        lines = block.lines if len(numbers) == len(block) else block.lines.take(pa.array(numbers))
        rows = form.rows(lines, self._wanted)
        times = times_of(rows.fields[self.time])
        good = times != BROKEN
        if complete:
            for field in self.key.fields:
                good &= ~_empty(rows.fields[field])
        unread = np.delete(numbers, np.concatenate([rows.lines[good], rows.parts]))
        if not good.all():
            rows, times = _chosen(rows, good), times[good]
        rows, times = self._filtered(rows, times)
        self.requests += len(times)
        for field in self.missing:
            self.missing[field] += _missing(rows.fields[field])
        codes, names = self.key.of(rows.fields)
        hashes = hash_texts(names)
        if self.sample < 1:
            chosen = np.array([crc32(name) for name in names], np.float64) < self.sample * 2.0**32
            keep = chosen[codes]
            self.excluded += int(np.count_nonzero(~keep))
            self.requests -= int(np.count_nonzero(~keep))
            places, codes = np.unique(codes[keep], return_inverse=True)
            hashes, names, times = hashes[places], [names[place] for place in places.tolist()], times[keep]
            rows = _chosen(rows, keep)
        ids = self._ids(hashes, names)
        batch = Batch(times, hashes[codes], ids[codes], *(self._profiled(rows) if self.profile else ()))
        return batch, numbers[rows.lines], unread

    def _filtered(self, rows: Rows, times: NDArray[np.int64]) -> tuple[Rows, NDArray[np.int64]]:
        """Return the requests that `where`, `since` and `until` select."""
        keep = (times >= self.since) & (times < self.until)
        if self.where is not None and len(times):
            keep &= self.where.mask(rows.fields).to_numpy(zero_copy_only=False)
        if keep.all():
            return rows, times
        self.excluded += int(np.count_nonzero(~keep))
        return _chosen(rows, keep), times[keep]

    def _ids(self, hashes: NDArray[np.uint64], names: list[bytes]) -> NDArray[np.int32]:
        ids: NDArray[np.int32] = self.key_ids.of(hashes)
        self.more_keys |= bool(len(ids) and ids.max() == self.key_ids.maximum)
        if self.key_ids.size > len(self._names):
            for name, number in zip(names, ids.tolist(), strict=True):
                if number == len(self._names) < self.key_ids.size:
                    self._names.append(name)
        return ids

    def _profiled(self, rows: Rows) -> tuple[NDArray[Any], ...]:
        status = pc.fill_null(_numbers(rows.fields["status"]), UNKNOWN).to_numpy(zero_copy_only=False)
        target = pc.binary_join_element_wise(
            pc.fill_null(rows.fields["method"], b"-"), pc.fill_null(rows.fields["path"], b"-"), b" "
        )
        return status.astype(np.int16), _numbered(rows.fields["agent"], self.agents), _numbered(target, self.targets)

    def _count_order(self, times: NDArray[np.int64], newest: int) -> int:
        """Count requests behind a younger one; the youngest time so far."""
        if times[0] >= newest and (times[1:] >= times[:-1]).all():
            return int(times[-1])
        youngest = np.maximum.accumulate(np.concatenate([[newest], times]))
        self.out_of_order += int(np.count_nonzero(times < youngest[:-1]))
        return int(youngest[-1])

    def _without_blank(self, block: Block, numbers: NDArray[np.int64], form: Format | None = None) -> NDArray[np.int64]:
        """Return the lines that should be requests: neither blank nor about the log."""
        kept = []
        for number, line in zip(numbers.tolist(), block.lines.take(pa.array(numbers)).to_pylist(), strict=True):
            if not line.strip():
                self.blank += 1
            elif form is None or not form.is_directive(line):
                kept.append(number)
        self.lines -= len(numbers) - len(kept)
        return np.array(kept, np.int64)

    def _note_broken(self, block: Block, numbers: NDArray[np.int64]) -> None:
        self.broken += len(numbers)
        for number in numbers[: SHOWN - len(self.broken_lines)].tolist():
            text = key_text(block.lines[number].as_py()[:SHOWN_SIZE].rstrip(b"\r\n"))
            self.broken_lines.append((block.source, block.first + number, text))

    def _why_nothing(self) -> str:
        if self.excluded:
            return f"none of {self.excluded:,} requests is left by --where, --since, --until and --sample"
        if self.broken:
            forms = ", ".join(form.name for form in self.formats.values())
            source, number, line = self.broken_lines[0]
            return f"none of {self.broken:,} lines could be read as {forms}; {source}:{number}: {shown([line])}"
        if self.condition.damaged:
            return f"nothing could be read; {self.condition.damaged[0][1]}"
        return "expected a log, got only blank lines" if self.blank else "expected a log, got an empty file"


def _chosen(rows: Rows, keep: NDArray[np.bool_]) -> Rows:
    mask = pa.array(keep)
    return Rows({name: column.filter(mask) for name, column in rows.fields.items()}, rows.lines[keep])


def splitter(start: bytes) -> Splitter | None:
    """Return the splitter for a source with this start, or None if line feeds separate its lines."""
    return records.splitter(start) or tables.splitter(start)


def _missing(column: Any) -> int:
    return int(np.count_nonzero(_empty(column)))


def _empty(column: Any) -> NDArray[np.bool_]:
    empty: NDArray[np.bool_] = pc.fill_null(pc.or_(pc.equal(column, b""), pc.equal(column, b"-")), True).to_numpy(
        zero_copy_only=False
    )
    return empty


def _numbers(column: Any) -> Any:
    digits = pc.if_else(pc.match_substring_regex(column, r"^\d{1,4}$"), column, None)
    return digits.cast(pa.string()).cast(pa.int16())


def _numbered(column: Any, numbering: Numbering) -> NDArray[np.int32]:
    encoded = column.dictionary_encode(null_encoding="encode")
    if not len(encoded):
        return np.empty(0, np.int32)
    numbers: NDArray[np.int32] = numbering.of(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]
    return numbers
