"""Which processes use the files of tables, as far as this user may know."""

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path


def mapped_files() -> dict[tuple[int, int], list[int]]:
    """Return for the device and inode of each file that is mapped the processes that map it."""
    mapped = defaultdict(list)
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            files = {tuple(line.split(maxsplit=5)[3:5]) for line in maps.read_text(errors="replace").splitlines()}
            for device, inode in files:
                if inode != "0":
                    major, minor = (int(part, 16) for part in device.split(":"))
                    mapped[os.makedev(major, minor), int(inode)].append(int(maps.parent.name))
    return mapped


def users_of(path: Path) -> str:
    """Return the processes that map a file, as text."""
    status = path.stat()
    names = []
    for process in sorted(mapped_files().get((status.st_dev, status.st_ino), [])):
        with suppress(OSError):
            names.append(f"{process} ({Path(f'/proc/{process}/comm').read_text(errors='replace').strip()})")
    return ", ".join(names) or "one that this user cannot see"
