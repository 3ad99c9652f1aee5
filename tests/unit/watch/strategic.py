"""The strategic merge patches that the watchers send: annotations are merged, finalizers added or taken off."""

from __future__ import annotations

from typing import Any

from tests.fakekube import patches

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
