"""The command line: `main.py` runs the commands, `table.py` is one of them. The others are with their packages."""
