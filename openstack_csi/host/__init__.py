"""What the node does to its kernel: devices, file systems, mounts. No cloud, no Kubernetes, no wire.

`run` starts every child process. `devices` finds the disk that a volume became, `filesystems` makes, checks and grows
what is on it (and makes it only where `blank` proves that nothing is), `mounts` puts it where the kubelet wants it,
`stats` reads how full it is; `volumes` combines these into the four states of a volume on a node (staged, published,
unpublished, unstaged). `metadata` and `limits` say which node this is and how many volumes it can take.
"""
