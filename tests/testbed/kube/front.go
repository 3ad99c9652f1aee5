//go:build !nodes

package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// What KUBEBUILDER_ASSETS holds where it is set: `-tags nodes` then leaves these out.
func init() {
	programs["kube-apiserver"] = cobraProgram(apiserver.NewAPIServerCommand)
	programs["etcd"] = func() int {
		etcdmain.Main(os.Args)
		return 0
	}
	programs["kubectl"] = func() int {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
		return 0
	}
}
