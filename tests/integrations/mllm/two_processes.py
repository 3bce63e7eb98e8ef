"""What each of several processes runs: the command line, with the arguments given."""

from anisoalign.cli import main

if __name__ == "__main__":
    main()
