"""The name under which tests elsewhere still ask for a fake API server with strategic merge patches: it has them."""

from __future__ import annotations

from tests.fakekube import FakeKube

StrategicKube = FakeKube
