"""`make bench`: runs every benchmark and prints its tables."""

from benchmarks.bench import run
from benchmarks.extras import extras
from benchmarks.http import http
from benchmarks.idle import idle
from benchmarks.memory import memory
from benchmarks.page import page
from benchmarks.prompts import prompts

run(__doc__, http, prompts, idle, extras, memory, page)
