"""Files that a script writes from written rules, or compares with them (standard library only)."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(doc, folder, make, more=lambda: (), whole=False):
    """The command line '--check | --write' of a script with docstring `doc`; returns its exit code.

    `make()` gives the files of `folder`, a path below the root, as texts by name. `more()` yields in words what else
    differs. With `whole` every other file in the folder counts as a difference.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="compare with the files, exit 1 on a difference")
    choice.add_argument("--write", action="store_true", help="write the files: that is approving a change of format")
    arguments = parser.parse_args()
    differing, files, place = list(more()), make(), ROOT / folder
    for name, text in files.items():
        path = place / name
        if arguments.write:
            place.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(f"{folder}/{name}")
    if whole:
        differing += [f"{folder}/{path.name}" for path in place.glob("*") if path.name not in files]
    for name in sorted(differing):
        print(f"differs from what the rules give: {name}", file=sys.stderr)
    if not differing:
        print(f"{Path(sys.argv[0]).name}: {len(files)} files {'written' if arguments.write else 'agree with the rules'}")
    return 1 if differing else 0
