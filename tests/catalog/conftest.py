from __future__ import annotations

import os

# What only a real PostgreSQL can show: `make test-postgres` runs it.
collect_ignore = [] if os.environ.get("TEST_DATABASE_URL") else ["test_silent_postgres.py"]
