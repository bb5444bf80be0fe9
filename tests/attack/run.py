"""`./dev attack [--seconds N] [NAME...]`: each attacker in turn against the release build; a table of what it got, of the
server's memory, and of the honest client's latency against a quiet quarter with a core as busy. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys

from attackers import ATTACKERS
from expected import GROWTH_MIB, GROWTH_MIB_OF, unexpected
from siege import Siege

RATIO_MAX = 2.0
# Below this a ratio of percentiles tells of the machine's other work, not of the server.
FLOOR_MS = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev attack")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("names", nargs="*", choices=[[], *ATTACKERS], metavar="NAME")
    arguments = parser.parse_args()
    siege, missed = Siege(), []
    print("| attack | answered | RSS grew, MiB | honest p50 ms | p99 ms | quiet p99 ms | p99 ratio | server CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.names or ATTACKERS:
        quiet, hit = siege.quiet(arguments.seconds), siege.attacked(name, arguments.seconds)
        ratio = hit.percentile(0.99) / max(quiet.percentile(0.99), FLOOR_MS)
        answers = ", ".join(f"{what} x{count}" for what, count in list(hit.seen.items())[:4]) or "held"
        if name == "http requests":
            answers = "as each deserves"
        print(f"| {name} | {answers} | {hit.grown_mib:.1f} | {hit.percentile(0.5):.2f} | {hit.percentile(0.99):.2f} "
              f"| {quiet.percentile(0.99):.2f} | {ratio:.2f} | {hit.cpu_seconds:.2f} |", flush=True)
        for bad, why in ((unexpected(name, hit.seen), "answers"), (hit.failures, "honest calls failed"),
                         (hit.grown_mib >= GROWTH_MIB_OF.get(name, GROWTH_MIB), "memory"), (ratio > RATIO_MAX, "p99")):
            if bad:
                missed.append(f"{name}: {why} {bad if bad is not True else ''}")
    siege.audit()
    siege.close()
    print("\n".join(["", *missed] if missed else ["", "every goal is met"]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
