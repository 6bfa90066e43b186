"""Run the command line: ``python -m marbleops``."""

from marbleops.cli.main import main

if __name__ == "__main__":
    main()
