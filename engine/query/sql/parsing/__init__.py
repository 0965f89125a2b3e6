"""A client's SQL as text: tokens, what sqlglot and the tokens make of it, edits at its tokens, parameters."""
