"""The node's kernel: devices, file systems, mounts; imports nothing upward."""
