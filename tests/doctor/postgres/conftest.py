from __future__ import annotations

import os

# What only a real PostgreSQL shows; `make test-postgres` runs it.
collect_ignore_glob = [] if os.environ.get("TEST_DATABASE_URL") else ["test_*.py"]
