"""Metrics: names and labels that dashboards rely on."""

import threading

from openstack_csi.errors import Code
from openstack_csi.ops.metrics import API_REQUESTS, NODE_RPCS, Metrics, working_for


def page(metrics: Metrics) -> str:
    content_type, body = metrics.page()
    assert content_type.startswith("text/plain")
    return body.decode()


def test_an_rpc_is_counted_as_the_sidecars_count_it() -> None:
    metrics = Metrics("cinder.csi.openstack.org")
    metrics.rpc("/csi.v1.Controller/CreateVolume", Code.RESOURCE_EXHAUSTED, 2.0)
    metrics.rpc("/csi.v1.Identity/Probe", Code.OK, 0.0)
    series = 'driver_name="cinder.csi.openstack.org",grpc_status_code="ResourceExhausted",le="2.5"'
    assert f'csi_sidecar_operations_seconds_bucket{{{series},method_name="/csi.v1.Controller/CreateVolume"}} 1.0' in (
        page(metrics)
    )
    assert 'grpc_status_code="OK"' in page(metrics)


def test_a_cloud_call_is_counted_for_the_rpc_that_made_it() -> None:
    metrics = Metrics("d")
    with working_for("CreateVolume"):
        metrics.api_call("volume_create", 202, 0.1)
    metrics.api_call("volume_list", 503, 0.1)
    metrics.api_call("volume_get", 0, 60.0)
    text = page(metrics)
    assert 'openstack_api_requests_total{request="volume_create",rpc="CreateVolume",status="202"} 1.0' in text
    assert 'openstack_api_request_errors_total{request="volume_list",rpc="",status="503"} 1.0' in text
    assert 'openstack_api_request_errors_total{request="volume_get",rpc="",status="0"} 1.0' in text
    assert 'openstack_api_request_errors_total{request="volume_create"' not in text
    assert 'openstack_api_request_duration_seconds_count{request="volume_create"} 1.0' in text


def test_calls_of_one_thread_are_not_counted_for_anothers_rpc() -> None:
    metrics = Metrics("d")
    with working_for("CreateVolume"):
        other = threading.Thread(target=metrics.api_call, args=("volume_list", 200, 0.1))
        other.start()
        other.join()
    assert 'openstack_api_requests_total{request="volume_list",rpc="",status="200"} 1.0' in page(metrics)


def test_claims_are_counted_as_the_provisioner_counts_them() -> None:
    metrics = Metrics("d")
    metrics.provisioned("fast", 3.0)
    metrics.provisioned("fast", 1.0, failed=True)
    metrics.deleted("fast", 2.0)
    text = page(metrics)
    assert 'controller_persistentvolumeclaim_provision_total{class="fast",source=""} 1.0' in text
    assert 'controller_persistentvolumeclaim_provision_failed_total{class="fast",source=""} 1.0' in text
    assert 'controller_persistentvolumeclaim_provision_duration_seconds_count{class="fast",source=""} 1.0' in text
    assert 'controller_persistentvolume_delete_total{class="fast"} 1.0' in text


def test_states_are_read_when_they_are_asked_for() -> None:
    metrics = Metrics("d")
    depth = 1
    metrics.watch_queue("claims", lambda: depth, lambda: 2.5)
    metrics.watch_queue("volumes", lambda: 0, lambda: 0)
    metrics.watch_informer("claims", lambda: 4.0)
    metrics.watch_leader("lease", lambda: True)
    metrics.watch_orphans(lambda: 3)
    metrics.watch_leader("lease", lambda: False)
    depth = 7
    text = page(metrics)
    assert 'workqueue_depth{name="claims"} 7.0' in text
    assert 'workqueue_depth{name="volumes"} 0.0' in text
    assert 'openstack_csi_workqueue_oldest_seconds{name="claims"} 2.5' in text
    assert 'openstack_csi_informer_lag_seconds{informer="claims"} 4.0' in text
    assert 'leader_election_master_status{name="lease"} 0.0' in text
    assert "openstack_csi_orphans 3.0" in text


def test_boards_tools_and_the_kubernetes_api_are_counted() -> None:
    metrics = Metrics("d")
    metrics.board_tick("changes")
    metrics.tool("mkfs.ext4", 0.2, "ok")
    metrics.kube_call("GET", "persistentvolumes", 200, 0.1)
    text = page(metrics)
    assert 'openstack_csi_tool_duration_seconds_count{outcome="ok",tool="mkfs.ext4"} 1.0' in text
    assert 'openstack_csi_board_ticks_total{kind="changes"} 1.0' in text
    assert 'openstack_csi_kubernetes_requests_total{resource="persistentvolumes",status="200",verb="GET"} 1.0' in text


def test_known_series_exist_before_anything_happened() -> None:
    metrics = Metrics("d")
    metrics.start_at_zero(NODE_RPCS, API_REQUESTS)
    text = page(metrics)
    assert 'openstack_api_request_duration_seconds_count{request="volume_create"} 0.0' in text
    assert 'method_name="/csi.v1.Node/NodeStageVolume"} 0.0' in text
    assert 'openstack_csi_build_info{version="' in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text
