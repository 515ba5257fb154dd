"""Where things lie. Everything else asks here."""

import os
from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
TOP = BENCHES.parent
PEERS = BENCHES / "peers"
CONF = PEERS / "conf"
RESULTS = BENCHES / "results"
DOCS = TOP / "docs"

# What the runner compiles goes where cargo puts everything else, and is never committed.
BUILT = TOP / "target" / "peers"

# Another build may be measured instead, as in ONELOOP=/somewhere/oneloop benches/run --no-build.
ONELOOP = Path(os.environ.get("ONELOOP", TOP / "target" / "release" / "oneloop"))

# The clients that look into a daemon while it is measured.
LOOKERS = BENCHES / "runner" / "lookers.py"

# The load of a hub. `oneloop stress` has none in which others receive what one sends.
FANOUT = BUILT / "release" / "fanout"
