"""The local backend: the nodes of a job as processes of this machine.

    procs     who a process is, beyond its pid
    node      one node: its folder, its launcher, its end
    probe     what a launcher tells by HTTP
    store     the frozen plan and the memory, in the output folder
    folders   where the volume claims and the output lie
    backend   all of it behind the protocol of `lmjob.reconcile`
    job       which plan a run carries out: the one that is under way, or a new one
    run       the loop, and Ctrl-C
    terminal  what a person sees meanwhile, and at the end

Called by `lmjob.cli.run`. No rule of a job's behaviour lives here.
"""
