"""Windows kept current, without I/O: what a transaction changes in the lists of subscribers.

``dispatcher`` goes through a transaction, ``table_windows`` matches each row change to windows (by ``row_index`` and the
matcher of ``index``), ``window`` keeps the rows of one query, ``shared_query`` delivers the differences.
"""
