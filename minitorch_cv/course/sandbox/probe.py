"""What a started script can do, as a line of JSON: whether the confinement that was asked for has come about."""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Say whether the judge's file, named in the file "judge", is seen, and whether root's rights can be had."""
    judge = Path(sys.argv[1], "judge").read_text(encoding="utf-8")
    seen = {"user": os.getuid(), "sees the judge": os.path.exists(judge)}
    try:
        os.setuid(0)
        seen["is root"] = True
    except OSError:
        seen["is root"] = False
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
