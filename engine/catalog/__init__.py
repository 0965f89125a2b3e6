"""What the database says about the exposed tables: loaded, built into a model, and kept in step with the stream."""
