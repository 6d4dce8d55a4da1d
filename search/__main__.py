"""`python -m search` is the command `regsearch`."""

from search.cli import main

if __name__ == "__main__":
    main()
