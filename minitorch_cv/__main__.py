"""`python -m minitorch_cv` is the command `minitorch-cv`."""

import sys

from minitorch_cv.cli import main

if __name__ == "__main__":
    sys.exit(main())
