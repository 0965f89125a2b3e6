"""The demo page's tables and its SQL endpoint."""
