"""``python -m candlewick``: the command line."""

from candlewick.cli import main

if __name__ == "__main__":
    main()
