"""The local backend: the nodes of a job as processes of this machine.

    procs     who a process is, beyond its pid
    node      one node: its launcher, its end
    nodefiles what lies in the folder of a node
    probe     what a launcher tells by HTTP
    store     the frozen plan and the memory, in the output folder
    folders   where the volume claims and the output lie
    machine   facts of this machine that a plan must know
    backend   all of it behind the protocol of `lmjob.reconcile`
    job       which plan a run carries out: the one that is under way, or a new one
    run       the loop, and Ctrl-C
    terminal  what a person sees meanwhile
    result    what a person sees at the end, or
    failure   what failed, and the way out

Called by `lmjob.cli.run`. No rule of a job's behaviour lives here.
"""
