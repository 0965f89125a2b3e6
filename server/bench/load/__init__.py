"""The load: clients in processes of their own, what they count and time, and what the server's processes use meanwhile.

:class:`fleet.Fleet` is in the process of the command. It has the :mod:`agent` processes, whose :mod:`clients` cost little.
Times are from ``CLOCK_MONOTONIC``, which all processes of a machine share, and travel in what is published
(:mod:`clients.stamp`), so publisher and subscriber need not be in one process.
"""
