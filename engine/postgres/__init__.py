"""Access to PostgreSQL: connections, pools, session settings, snapshots, named queries, and what its errors mean."""
