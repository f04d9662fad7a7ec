#!/usr/bin/env python3
"""Check that files are short, and the package's folder too: scripts/check_sizes.py

A file has at most 400 lines, unless its first comment gives the reason in a sentence that begins with "In one file".
The folder of the package has fewer than 25 entries.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES, ENTRIES = 400, 25
KINDS = {".py", ".pyx", ".pxd", ".pyi", ".h", ".c", ".mjs", ".js", ".sh", ".lua", ".pml", ".css", ".html"}


def main() -> int:
    """Print what is too large; return the exit status."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(name) for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    found = []
    for file in files:
        lines = (ROOT / file).read_text().splitlines() if file.suffix in KINDS else []
        if len(lines) > LINES and "In one file" not in "\n".join(lines[:20]):
            found.append(
                f"{file}: expected at most {LINES} lines, or 'In one file' and the reason at its top, got {len(lines)}"
            )
    entries = {file.parts[1] for file in files if file.parts[0] == "ratelimit"}
    if len(entries) >= ENTRIES:
        found.append(f"ratelimit: expected fewer than {ENTRIES} entries, got {len(entries)}")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
