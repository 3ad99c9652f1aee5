"""The wire: the only package that knows protobuf and gRPC (CSI 1.12, and the kubelet's plugin registration)."""
