// Command kube is every Kubernetes program in one file: it runs the one that it is called as (a link's name) or, called
// by another name, the one that its first argument names. One file, because the programs share nine tenths of their code.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs by name; each takes os.Args and gives the exit status. front.go adds those that others may bring.
var programs = map[string]func() int{
	"kube-controller-manager": cobraProgram(controllermanager.NewControllerManagerCommand),
	"kube-proxy":              cobraProgram(proxy.NewProxyCommand),
	"kube-scheduler":          cobraProgram(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":                 cobraProgram(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
}

func cobraProgram(command func() *cobra.Command) func() int {
	return func() int { return cli.Run(command()) }
}

func main() {
	name := filepath.Base(os.Args[0])
	if programs[name] == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	if programs[name] == nil {
		fmt.Fprintln(os.Stderr, "usage: kube PROGRAM [flags], where PROGRAM is one of", slices.Sorted(maps.Keys(programs)))
		os.Exit(2)
	}
	os.Exit(programs[name]())
}
