"""`make bench`: runs every benchmark and prints its tables."""

from benchmarks import engine, page

engine.main()
page.main()
