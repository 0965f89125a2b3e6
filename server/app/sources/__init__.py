"""Where settings come from: flags, the environment, files; and what is wrong with them, in words."""
