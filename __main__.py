"""Lets `python -m regsearch` do the same as the command `regsearch`."""

from .search.cli.commands import main

if __name__ == "__main__":
    main()
