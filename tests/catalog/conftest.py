from __future__ import annotations

import os

# `make test-postgres` runs what only a real PostgreSQL shows, and not what brings a database of its own.
ONLY_POSTGRES = ["test_silent_postgres.py"]
OWN_DATABASE = ["test_bounded_waits.py", "test_sqlite_files.py"]
collect_ignore = OWN_DATABASE if os.environ.get("TEST_DATABASE_URL") else ONLY_POSTGRES
