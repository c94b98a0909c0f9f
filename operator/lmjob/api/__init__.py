"""What a user writes and reads. `spec.parse_job` is the only door.

    names        group, version, limits, names of children
    spec         the specification: settings and the rules between them
    jobfile      a file -> one plain document, as kubectl would read it
    yamltree     YAML without surprises, with line and column
    yamlscalars  what `1e-4`, `yes` and `010` mean to Kubernetes

No files are opened here, and nothing is started.
"""
