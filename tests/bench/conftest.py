import sys
from pathlib import Path

# The benches are scripts: what they import lies beside them.
sys.path.append(str(Path(__file__).parents[2] / "bench"))
