"""Shows a Cinder volume as the cloud sees it: `python -m tests.demo.cinder CLOUD NAME` prints JSON, `null` if none.

A program of its own, for it runs where the cloud is reached (the test bed's network namespace) and the demo does not.
"""

from __future__ import annotations

import json
import sys

import openstack


def main(cloud: str, name: str) -> None:
    """Print the volume of that name, with what a person looks for."""
    connection = openstack.connect(cloud=cloud)
    found = list(connection.block_storage.volumes(name=name))
    view = None
    if found:
        volume = found[0]
        view = {
            "id": volume.id,
            "name": volume.name,
            "status": volume.status,
            "size": f"{volume.size} GiB",
            "metadata": volume.metadata,
            "attached to": [a["server_id"] for a in volume.attachments],
        }
    sys.stdout.write(json.dumps(view, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
