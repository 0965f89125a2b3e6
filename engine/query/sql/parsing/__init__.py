"""A client's SQL as text: tokens, what sqlglot and the tokens say of it, edits at its tokens, parameters."""
