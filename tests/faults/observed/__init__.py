"""What clients of a cluster under faults see beside stored messages, judged over the whole run.

* ``observer``     a client at a node that keeps a history of all it is shown
* ``windows``      live queries: each list is the query's result at some commit, and those of a client go forward
* ``transient``    what is delivered once or never: channels without history, messages to all, changes of rooms
* ``members``      presence: who comes and goes, event by event, and against the rows where the cluster is quiet
* ``observed_load``  all of them together
"""
