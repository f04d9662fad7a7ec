"""`python -m ratelimit COMMAND ...`, which is also installed as `ratelimit`."""

import sys

from ratelimit._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
