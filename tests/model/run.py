"""Random programs against a model: `run.py --count 100 --seed 1`. See README.md."""

import sys
from pathlib import Path

# The Python SDK's suite has the helpers that start servers and call them.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk" / "python"))

from session import main

if __name__ == "__main__":
    sys.exit(main())
