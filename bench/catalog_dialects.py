"""How SQLite and PostgreSQL say what the statements need that fill a catalog for its bench."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE, LEASE, LINK, SESSION, AUDIT, JOB, OLD, DELTA, SNAPSHOT = range(9)
_MIXING = 2_654_435_761


def row_id(table: int, number: int) -> str:
    """Return the id of a row, as the statements below make it; ids are in no order, as random ones are."""
    return f"{number * _MIXING % 2**32:08x}-0000-4000-{table:04d}-{number:012d}"


def created_at(number: int) -> datetime:
    """Return when an image was created."""
    return START + timedelta(seconds=number)


@dataclass(frozen=True)
class Dialect:
    """How a database says what the statements need; `n` is the number of a row."""

    series: str
    hexadecimal: str
    padded: str
    date: str

    def statement(
        self, table: str, first: int, last: int, values: dict[str, str], where: str = "TRUE"
    ) -> str:
        """Return an INSERT of one row for each number from `first` to before `last`.

        `@(n)@` in a value is the date so many seconds after the start.
        """
        columns, expressions = ", ".join(values), ", ".join(self._expand(each) for each in values.values())
        series = self.series.format(first=first, last=last - 1)
        return f"INSERT INTO {table} ({columns}) SELECT {expressions} FROM {series} WHERE {where}"

    def id(self, table: int, number: str = "n") -> str:
        """Return an expression of the id that `row_id` returns."""
        mixed = self.hexadecimal.format(f"(({number}) * {_MIXING} % 4294967296)")
        return f"({mixed} || '-0000-4000-{table:04d}-' || {self.padded.format(f'({number})')})"

    def long(self, table: int) -> str:
        """Return an expression of 64 characters that differs between rows."""
        return f"({self.id(table)} || '0123456789abcdef0123456789ab')"

    def _expand(self, expression: str) -> str:
        """Replace `@(seconds)` by a date so long after the start."""
        parts = expression.split("@(")
        return parts[0] + "".join(self._date(part) for part in parts[1:])

    def _date(self, part: str) -> str:
        seconds, _, rest = part.partition(")@")
        return self.date.format(seconds) + rest


DIALECTS = {
    "postgresql": Dialect(
        series="generate_series({first}::bigint, {last}::bigint) AS s(n)",
        hexadecimal="lpad(to_hex({}), 8, '0')",
        padded="lpad(({})::text, 12, '0')",
        date="(timestamptz '2026-01-01 00:00:00+00' + ({}) * interval '1 second')",
    ),
    "sqlite": Dialect(
        series="(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})"
        " SELECT n FROM s)",
        hexadecimal="printf('%08x', {})",
        padded="printf('%012d', {})",
        date="(strftime('%Y-%m-%d %H:%M:%S', 1767225600 + ({}), 'unixepoch') || '.000000')",
    ),
}
