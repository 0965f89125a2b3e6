"""What the schema ``realtime`` does in a database: migrating, privileges, triggers, locks."""
