"""``realtime`` with alerts over the last seconds instead of the last five minutes, for a test that waits for their end."""

from __future__ import annotations

from server.alerts import measures
from server.cli.main import main

SECONDS = 4.0

if __name__ == "__main__":
    vars(measures)["WINDOW"] = SECONDS
    main()
