"""A TCP proxy that does to connections what networks do, and the random test that puts it between SDKs and server.

* ``proxy``     the proxy: cuts, half-open connections, truncation, delay, slowness, connections that linger
* ``__main__``  the proxy as a process of its own, controlled over a control port
* ``chaos``     faults at random, by seed
* ``actors``    clients in this process, and in Node, that send and keep what they receive
* ``test_faults``  everything together: what must still hold
"""
