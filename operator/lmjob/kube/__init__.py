"""The operator: the backend of a cluster, driven by events and a resync, on the leader only."""
