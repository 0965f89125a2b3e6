"""Rules of channels: conditions in CEL, and the authorizer that evaluates them."""
