"""`python -m anisoalign`."""

from anisoalign.cli import main

main()
