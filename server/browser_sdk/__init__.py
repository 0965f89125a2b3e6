"""The TypeScript SDK as modules that browsers load from this server, without npm or a bundler.

A wheel has them made (``build_hook``); a source tree makes them of ``sdk/js/src`` when they are first asked for, so nothing
that is built is in the repository, and Node is not needed.
"""
