// Serves the stargz-snapshotter of Debian's golang-github-containerd-stargz-snapshotter-dev to
// containerd: Debian ships the library and ctr-remote, and not the daemon between them.
//
// Arguments: the socket to listen on, a folder for what is fetched, and the registry, which is
// spoken to in plain HTTP. What a start does not need is not fetched in the background, so
// that what it does need can be counted.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/reference"
	"github.com/containerd/containerd/remotes/docker"
	"github.com/containerd/stargz-snapshotter/fs"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/fs/source"
	"github.com/containerd/stargz-snapshotter/snapshot"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

func main() {
	socket, root, host := os.Args[1], os.Args[2], os.Args[3]
	hosts := func(reference.Spec) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{
			Client:       &http.Client{Transport: http.DefaultTransport},
			Host:         host,
			Scheme:       "http",
			Path:         "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		}}, nil
	}
	settings := config.Config{NoBackgroundFetch: true, NoPrometheus: true}
	files, err := fs.NewFilesystem(root+"/files", settings,
		fs.WithGetSources(source.FromDefaultLabels(hosts)))
	if err != nil {
		log.Fatal(err)
	}
	snapshotter, err := snapshot.NewSnapshotter(context.Background(), root+"/snapshots", files)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, unix.SIGINT, unix.SIGTERM)
	go func() {
		<-stopped
		server.Stop()
		snapshotter.Close() // unmounts
		os.Exit(0)
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
