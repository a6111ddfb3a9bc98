from __future__ import annotations

import os
import sys
from pathlib import Path

# The calls and rows of the catalog's bench: what they import lies beside them.
sys.path.append(str(Path(__file__).parents[2] / "bench"))
# `make test-postgres` runs what only a real PostgreSQL shows, and not what brings a database of its own.
ONLY_POSTGRES = ["test_silent_postgres.py", "test_plans_on_postgres.py", "test_upgrade_on_postgres.py"]
OWN_DATABASE = ["test_bounded_waits.py", "test_sqlite_files.py", "test_plans_on_sqlite.py"]
collect_ignore = OWN_DATABASE if os.environ.get("TEST_DATABASE_URL") else ONLY_POSTGRES
