"""`python -m aninfonce`."""

from aninfonce.cli import main

main()
