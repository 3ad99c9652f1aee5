"""The strategic merge patches that the watchers send: annotations are merged, finalizers added or taken off."""

from __future__ import annotations

import json
from typing import Any

from tests.fakekube import FakeKube, patches
from tests.fakekube.connection import Request
from tests.fakekube.resources import Ref

Json = dict[str, Any]
_REMOVE = "$deleteFromPrimitiveList/finalizers"


def strategic(target: Json, patch: Json) -> Json:
    metadata = dict(patch["metadata"])
    add, remove = metadata.pop("finalizers", []), metadata.pop(_REMOVE, [])
    result: Json = patches.merge(target, {**patch, "metadata": metadata})
    kept = [each for each in target["metadata"].get("finalizers") or [] if each not in remove]
    return {
        **result,
        "metadata": {**result["metadata"], "finalizers": kept + [each for each in add if each not in kept]},
    }


class StrategicKube(FakeKube):
    """The fake API server, with these patches."""

    def _do(self, verb: str, ref: Ref, request: Request) -> tuple[int, bytes]:
        if verb == "patch" and request.headers.get("content-type", "").startswith("application/strategic-merge-patch"):
            body = json.loads(request.body)
            return 200, self.store.update(ref, lambda obj: strategic(obj, body)).full
        return super()._do(verb, ref, request)
