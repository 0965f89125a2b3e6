"""``python -m server`` is ``realtime``."""

from server.cli.main import main

if __name__ == "__main__":
    main()
