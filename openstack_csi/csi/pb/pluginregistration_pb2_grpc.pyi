from collections.abc import Iterator

import grpc

from openstack_csi.csi.pb import pluginregistration_pb2

class RegistrationStub:
    def __init__(self, channel: grpc.Channel) -> None: ...
    GetInfo: grpc.UnaryUnaryMultiCallable[pluginregistration_pb2.InfoRequest, pluginregistration_pb2.PluginInfo]
    NotifyRegistrationStatus: grpc.UnaryUnaryMultiCallable[pluginregistration_pb2.RegistrationStatus, pluginregistration_pb2.RegistrationStatusResponse]

class RegistrationServicer:
    def GetInfo(self, request: pluginregistration_pb2.InfoRequest, context: grpc.ServicerContext) -> pluginregistration_pb2.PluginInfo: ...
    def NotifyRegistrationStatus(self, request: pluginregistration_pb2.RegistrationStatus, context: grpc.ServicerContext) -> pluginregistration_pb2.RegistrationStatusResponse: ...

def add_RegistrationServicer_to_server(servicer: RegistrationServicer, server: grpc.Server) -> None: ...
