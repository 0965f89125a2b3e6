"""What commands share: options, names of tables as typed, tables for the terminal."""
