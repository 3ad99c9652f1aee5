"""The watchers that stand where the sidecars stood: provisioner, attacher, and what they share."""
