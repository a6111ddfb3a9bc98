#!/usr/bin/env python3
"""Checks which tests `make test` and `make test-all` run, by collecting them: none twice, by the latter all,
but for short forms of tests whose long form runs.

The commands are those that `make -n` prints, so what is checked is what runs. The tests marked `database` run
twice on purpose, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTEST = ".venv/bin/pytest"
NOT_SHALLOW = ["-m", "not shallow"]
Names = Counter[str]
# Collecting connects to nothing.
POSTGRES = {"TEST_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}


def main() -> int:
    in_test, in_all = commands("test"), commands("test", "test-all")
    on_postgres = [command for command in in_all if ".ci/with-postgres" in command]
    whole = [command for command in in_all if command not in on_postgres]
    everything, shallow, *found = collected(
        [NOT_SHALLOW, ["-m", "shallow"], *map(options, [*in_test, *whole])], {}
    )
    test, run_by_all = sum(found[: len(in_test)], Names()), sum(found[len(in_test) :], Names())
    short = {name for name in shallow if name.replace("short", "long") in run_by_all}
    marked, *found = collected([["-m", "database and not deep"], *map(options, on_postgres)], POSTGRES)
    postgres = sum(found, Names())

    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    run = {name.partition("::")[0] for name in run_by_all | postgres}
    problems = {
        "not in make test-all": (everything | test).keys() - run_by_all.keys() - short,
        "more than once": {name for name, times in (test | run_by_all).items() if times > 1},
        "short form beside the long one": short & run_by_all.keys(),
        "not once on PostgreSQL": {name for name in marked | postgres if marked[name] != postgres[name]},
        "no test of this module": modules - run,
    }
    for problem, names in problems.items():
        for name in sorted(names):
            print(f"{problem}: {name}", file=sys.stderr)
    print(f"make test: {test.total()} tests, make test-all: {run_by_all.total()}, ", end="")
    print(f"again on PostgreSQL: {postgres.total()}")
    return 1 if any(problems.values()) or not (test.keys() - short < run_by_all.keys() and postgres) else 0


def commands(*targets: str) -> list[list[str]]:
    """The commands with pytest that make would run for the targets."""
    make = ["make", "--no-print-directory", "-n", *targets]
    printed = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [shlex.split(line) for line in printed.splitlines() if PYTEST in line.split()]


def options(command: list[str]) -> list[str]:
    return command[command.index(PYTEST) + 1 :]


def collected(runs: list[list[str]], variables: Mapping[str, str]) -> list[Names]:
    """How often each of the runs would run each test, under these variables."""
    plain = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}

    def ask(arguments: list[str]) -> Names:
        command = [sys.executable, __file__, "collect", *arguments]
        environment = {**plain, **variables}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return Names(json.loads(ended.stdout))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(ask, runs))


class Recorder:
    """Notes what pytest selected."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.names = [item.nodeid for item in session.items]


def collect(arguments: list[str]) -> list[str]:
    """The ids of the tests that pytest selects."""
    recorder, shown = Recorder(), io.StringIO()
    with redirect_stdout(shown):
        status = pytest.main([*arguments, "-n", "0", "--collect-only"], plugins=[recorder])
    if status:
        raise SystemExit(f"{shlex.join(arguments)}: status {status}\n{shown.getvalue()[-2000:]}")
    return recorder.names


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        json.dump(collect(sys.argv[2:]), sys.stdout)
    else:
        sys.exit(main())
