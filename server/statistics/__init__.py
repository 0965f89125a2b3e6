"""What a node knows of itself in memory, written into tables for the views ``realtime.stat_*``."""
