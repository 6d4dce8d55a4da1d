"""The long fault drill: kills, crash points, races, full disks, locks, and large studies; then one table of figures.

python tests/programs/drill.py                         # every part, an hour and more; exit code 1 if a figure isn't met
python tests/programs/drill.py kills --count 50        # one part
"""

import argparse
import inspect
import sys
import time
import traceback
from collections.abc import Callable

from drills.crashes import crashes
from drills.disk import full_disk
from drills.figure import Figure, table
from drills.kills import kills, kills_alone
from drills.locks import locks, races
from drills.servers import cluster, server
from drills.size import size
from drills.training import checkpoints

PARTS: dict[str, Callable[..., list[Figure]]] = {
    "kills": kills,
    "kills-alone": kills_alone,
    "crashes": crashes,
    "races": races,
    "full-disk": full_disk,
    "locks": locks,
    "size": size,
    "checkpoints": checkpoints,
    "server": server,
    "cluster": cluster,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part")
    for name, part in PARTS.items():
        options = parts.add_parser(name, help=(part.__doc__ or "").splitlines()[0])
        for parameter in inspect.signature(part).parameters.values():
            options.add_argument(f"--{parameter.name}", type=type(parameter.default), default=parameter.default)
    chosen = vars(parser.parse_args())
    asked = chosen.pop("part")
    figures = []
    for name, part in PARTS.items() if asked is None else [(asked, PARTS[asked])]:
        began = time.monotonic()
        try:
            of_part = part(**chosen)
        except Exception as error:  # noqa: BLE001 - the other parts' figures are worth having
            traceback.print_exc()
            of_part = [Figure(name=f"{name}: broke off", measured=str(error), asked="no error", is_met=False)]
        of_part.append(Figure(name=f"{name}: took", measured=f"{time.monotonic() - began:.0f} s"))
        print(table(of_part), flush=True)
        figures += of_part
    if asked is None:
        print(f"\n{table(figures)}")
    return int(any(figure.is_met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
