"""Values from PostgreSQL's text output: equality, order and JSON exactly as PostgreSQL has them, per type.

``column_codec`` returns what can be done with a column's values; ``nested`` reads arrays and composites.
"""

from engine.values.codec import Codec, codec_for, column_codec
from engine.values.sort_keys import HIGHEST, LOWEST, same

__all__ = ["HIGHEST", "LOWEST", "Codec", "codec_for", "column_codec", "same"]
