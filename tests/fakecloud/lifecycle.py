"""How the cloud's objects change: what begins at once, what ends later, and how it ends when a fault strikes.

Every operation has a beginning, which the API calls, and an end on the timeline. An end looks first whether the object
is still as the beginning left it: somebody may have reset, deleted or detached it in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable

from .faults import Operation, StateFault
from .model import Attachment, Message, Server, Snapshot, Volume
from .state import State

NO_BACKEND = ("VOLUME_VOLUME_001_003", "schedule allocate volume:Could not find any available weighted backend.")
MESSAGE_SECONDS = 30 * 86_400.0


class Lifecycle:
    """The transitions, on one state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._timings = state.config.timings

    def create(self, volume: Volume, request_id: str) -> None:
        """A volume that is `creating` becomes `available`, or `error` where no back end takes it."""
        self._state.volumes[volume.id] = volume
        host = self._state.host_of(volume.type, volume.zone)
        if host is not None:
            self._state.timeline.after(0.0, lambda: _scheduled(volume, host))

        def end(fault: StateFault | None) -> None:
            if volume.status != "creating":
                return
            if host is None:
                self._tell(volume, *NO_BACKEND, request_id)
            elif fault is not None:
                self._tell(volume, "VOLUME_VOLUME_008_012", fault.message, request_id)
            self.set_status(volume, "error" if fault or host is None else "available")

        self._later("create", volume, self._timings.create, end)

    def delete(self, volume: Volume) -> None:
        """A volume is `deleting`, then gone; one that no back end ever took is gone at once."""
        if volume.host is None:
            self._state.volumes.pop(volume.id, None)
            return
        self.set_status(volume, "deleting")

        def end(fault: StateFault | None) -> None:
            if volume.status != "deleting":
                return
            if fault:
                self.set_status(volume, "error_deleting")
            else:
                self._state.volumes.pop(volume.id, None)

        self._later("delete", volume, self._timings.delete, end)

    def extend(self, volume: Volume, size: int, request_id: str) -> None:
        """A volume is `extending`, then of the new size in GiB and as it was before."""
        before = volume.status
        self.set_status(volume, "extending")

        def end(fault: StateFault | None) -> None:
            if volume.status != "extending":
                return
            if fault:
                self._tell(volume, "VOLUME_VOLUME_007_010", fault.message, request_id)
            else:
                volume.size = size
            self.set_status(volume, "error_extending" if fault else before)

        self._later("extend", volume, self._timings.extend, end)

    def attach(self, attachment: Attachment) -> None:
        """A volume is `reserved`, `attaching`, then `in-use`; a failed attach leaves no trace."""
        volume = attachment.volume
        self._reserve(attachment)
        fault = self._state.faults.on_operation("attach", volume)
        seconds = _seconds(fault, self._timings.attach)

        def halfway() -> None:
            if volume.attachments.get(attachment.id) is attachment:
                attachment.status = "attaching"
                self.set_status(volume, "attaching")

        def end() -> None:
            if volume.attachments.get(attachment.id) is not attachment:
                return
            if fault is not None and fault.outcome == "error":
                self.release(attachment)
                return
            self._complete(attachment)

        stuck = fault is not None and fault.outcome == "stuck"
        if not (stuck and fault is not None and fault.state == "reserved"):
            self._state.timeline.after(seconds / 2, halfway)
        if not stuck:
            self._state.timeline.after(seconds, end)

    def detach(self, attachment: Attachment) -> None:
        """A volume is `detaching`, then `available`, or `in-use` where another server still has it."""
        volume = attachment.volume
        self.set_status(volume, "detaching")

        def end(fault: StateFault | None) -> None:
            if volume.attachments.get(attachment.id) is not attachment:
                return
            if fault:
                self.set_status(volume, "in-use")
            else:
                self.release(attachment)

        self._later("detach", volume, self._timings.detach, end)

    def release(self, attachment: Attachment) -> None:
        """Cinder lets go of an attachment now, Nova a moment later."""
        volume = attachment.volume
        volume.attachments.pop(attachment.id, None)
        left = {a.status for a in volume.attachments.values()}
        status = next((s for s in ("attached", "attaching", "reserved") if s in left), "available")
        self.set_status(volume, "in-use" if status == "attached" else status)

        def forget() -> None:
            if attachment in attachment.server.attachments:
                attachment.server.attachments.remove(attachment)

        if self._timings.forget:
            self._state.timeline.after(self._timings.forget, forget)
        else:
            forget()

    def boot(self, server: Server, root: Attachment | None) -> None:
        """A server is `BUILD`, then `ACTIVE` with its root disk, where that is a volume."""
        self._state.servers[server.id] = server
        if root is not None:
            self._reserve(root)

        def end() -> None:
            if server.status != "BUILD":
                return
            if root is not None:
                self._complete(root)
            self.set_server(server, "ACTIVE")

        self._state.timeline.after(self._timings.boot, end)

    def delete_server(self, server: Server) -> None:
        """A server is being deleted, then gone; its volumes are free again, or gone with it where they were made so."""
        self.set_server(server, server.status, "deleting")

        def end() -> None:
            if self._state.servers.pop(server.id, None) is None:
                return
            for attachment in list(server.attachments):
                self.release(attachment)
                if attachment.delete_on_termination:
                    self.delete(attachment.volume)

        self._state.timeline.after(self._timings.delete_server, end)

    def create_snapshot(self, snapshot: Snapshot) -> None:
        self._state.snapshots[snapshot.id] = snapshot
        self._state.timeline.after(self._timings.snapshot, lambda: self._set_snapshot(snapshot, "available"))

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        self._set_snapshot(snapshot, "deleting")

        def end() -> None:
            self._state.snapshots.pop(snapshot.id, None)

        self._state.timeline.after(self._timings.delete_snapshot, end)

    def _reserve(self, attachment: Attachment) -> None:
        attachment.server.attachments.append(attachment)
        attachment.volume.attachments[attachment.id] = attachment
        self.set_status(attachment.volume, "reserved")

    def _complete(self, attachment: Attachment) -> None:
        attachment.status = "attached"
        attachment.attached_at = self._state.timeline.wall()
        self.set_status(attachment.volume, "in-use")

    def set_status(self, volume: Volume, status: str) -> None:
        volume.status = status
        self.changed(volume)

    def changed(self, volume: Volume) -> None:
        """Note that a volume is not what it was."""
        volume.updated_at = self._state.timeline.wall()
        volume.rendered.clear()

    def set_server(self, server: Server, status: str, task_state: str | None = None) -> None:
        server.status = status
        server.task_state = task_state
        server.updated_at = self._state.timeline.wall()

    def _set_snapshot(self, snapshot: Snapshot, status: str) -> None:
        snapshot.status = status
        snapshot.updated_at = self._state.timeline.wall()

    def _later(
        self, operation: Operation, volume: Volume, usual: float, end: Callable[[StateFault | None], None]
    ) -> None:
        """Put the end of an operation on the timeline, unless it is stuck; `end` gets the fault that makes it fail."""
        fault = self._state.faults.on_operation(operation, volume)
        if fault is not None and fault.outcome == "stuck":
            return
        failure = fault if fault is not None and fault.outcome == "error" else None
        self._state.timeline.after(_seconds(fault, usual), lambda: end(failure))

    def _tell(self, volume: Volume, event_id: str, text: str, request_id: str) -> None:
        message = Message(
            self._state.new_id(), volume.project, self._state.timeline.wall(), event_id, text, request_id, volume.id
        )
        self._state.messages[message.id] = message


def _scheduled(volume: Volume, host: str) -> None:
    volume.host = host
    volume.rendered.clear()


def _seconds(fault: StateFault | None, usual: float) -> float:
    return usual if fault is None or fault.seconds is None else fault.seconds
