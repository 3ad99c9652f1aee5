"""The roles: how the layers are put together into a controller and a node, and how each starts and ends."""
