"""Process 1 of a node: `lmtrainer launch`.

    node        the flow: start, watch, end, last word
    ranks       the rank processes: environment, start, signals, endings
    membership  the node's place in the group: opens or joins the rendezvous store
    status      /readyz /healthz /progress
    verdict     endings of ranks -> exit type and first error; pure
    rank        the other side: what runs in each rank's process
    own         a program of the user's own in place of our ranks, with `program` (what it is told),
                `owner` (its output folder), `proof` (of its end) and `lines` (its progress)

What may live here: everything about processes, signals and ports of a node. What may not: training.
The launcher needs torch only for the store, so a single rank of ours never makes it import that.
"""
