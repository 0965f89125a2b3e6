"""The SQL of channels: functions, triggers, views, privileges and the engine's named queries, on both servers."""
