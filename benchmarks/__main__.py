"""`make bench`: runs every benchmark and prints its table."""

from benchmarks.page import main

main()
