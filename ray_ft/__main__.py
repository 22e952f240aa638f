"""`python -m ray_ft` is `ray-ft`."""

import sys

from ray_ft.cli import main

if __name__ == "__main__":
    sys.exit(main())
