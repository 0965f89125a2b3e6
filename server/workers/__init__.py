"""Several node processes on one port (``realtime serve --workers``): their supervisor, and each as it sees itself."""
