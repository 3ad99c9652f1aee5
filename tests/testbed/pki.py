"""The cluster's keys and certificates, and the kubeconfigs that hold them; openssl makes them, once for a bed."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from .layout import HOME_ADDRESS, SERVICE_ADDRESS
from .processes import run

DAYS = "3650"
SERVER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
SERVER_ADDRESSES = (SERVICE_ADDRESS, "127.0.0.1", HOME_ADDRESS)
ADMINS = "system:masters"


@dataclass(frozen=True)
class Authority:
    """The certificate authority in a folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def be_made(self) -> None:
        """The authority, the key pair of service account tokens, and what the control plane shows or asks with."""
        if not self.certificate.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._key("sa")
            run(["openssl", "ec", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub"])
            self._key("ca")
            own = ["-key", f"{self.folder}/ca.key", "-days", DAYS, "-subj", "/CN=testbed"]
            self.certificate.write_text(run(["openssl", "req", "-x509", "-new", *own]))
        names = [f"DNS:{name}" for name in SERVER_NAMES] + [f"IP:{address}" for address in SERVER_ADDRESSES]
        self.issue("apiserver", "kube-apiserver", names=names)
        self.issue("kubelet-client", "kube-apiserver-kubelet-client", group=ADMINS)
        self.issue("front-proxy", "front-proxy-client")

    def issue(self, name: str, user: str, *, group: str = "", names: list[str] | None = None) -> None:
        """A certificate NAME.crt of the user, unless it is there."""
        made = self.folder / f"{name}.crt"
        if made.exists():
            return
        key = self._key(name)
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        request = run(["openssl", "req", "-new", "-key", key, "-subj", subject])
        extensions = self.folder / f"{name}.ext"
        alternative = f"subjectAltName={','.join(names)}\n" if names else ""
        extensions.write_text(f"extendedKeyUsage=clientAuth,serverAuth\n{alternative}")
        authority = ["-CA", f"{self.certificate}", "-CAkey", f"{self.folder}/ca.key", "-CAcreateserial"]
        text = run(["openssl", "x509", "-req", *authority, "-days", DAYS, "-extfile", extensions], stdin=request)
        made.write_text(text)

    def kubeconfig(self, name: str, path: Path) -> None:
        """A kubeconfig that holds the certificate NAME.crt.

        Its server is the home address and not the Service's: kube-proxy refuses connections to a Service whose
        endpoints it has not read yet, and would lock itself and the kubelet out.
        """

        def data(file: str) -> str:
            return base64.b64encode((self.folder / file).read_bytes()).decode()

        cluster = {"server": f"https://{HOME_ADDRESS}:443", "certificate-authority-data": data("ca.crt")}
        user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": name}}],
            "current-context": "testbed",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1) + "\n")

    def _key(self, name: str) -> Path:
        path = self.folder / f"{name}.key"
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
        return path
