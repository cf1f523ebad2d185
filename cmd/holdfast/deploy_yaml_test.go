package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Build       struct{ Context, Dockerfile string }
			Command     []string
			Environment map[string]string
			Ports       []string
			Volumes     []string
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	image := readDockerfile(t)
	var ids, published []string
	founders := 0
	for name, service := range compose.Services {
		if filepath.Join("deploy", service.Build.Context, service.Build.Dockerfile) != "deploy/Dockerfile" {
			t.Errorf("%s is built from %+v", name, service.Build)
		}
		environment := maps.Clone(image.env)
		maps.Copy(environment, service.Environment)
		serve := understood(t, service.Command, environment).Serve
		ids = append(ids, string(serve.NodeID))
		isNode(t, &serve, name, slices.Collect(maps.Keys(compose.Services)))
		if serve.Join == "" {
			founders++
		}
		volume, at, _ := strings.Cut(service.Volumes[0], ":")
		if _, ok := compose.Volumes[volume]; !ok || volume != name || at != string(serve.DataDir) {
			t.Errorf("%s keeps its state in %s, and mounts %s", name, serve.DataDir, service.Volumes[0])
		}
		published = append(published, service.Ports...)
		if !strings.HasPrefix(service.Ports[0], "127.0.0.1:") || !strings.HasSuffix(service.Ports[0], fmt.Sprintf(":%d", serve.Port)) {
			t.Errorf("%s publishes %s", name, service.Ports[0])
		}
	}
	slices.Sort(ids)
	slices.Sort(published)
	if !slices.Equal(ids, []string{"a", "b", "c"}) || len(slices.Compact(published)) != 3 || founders != 1 {
		t.Errorf("nodes %v on %v, %d of which begin a cluster", ids, published, founders)
	}
}

// isNode checks that a server is a node that others reach under the host, and
// that it joins those whom it should know.
func isNode(t *testing.T, serve *serveCommand, host string, others []string) {
	t.Helper()
	node, err := serve.node(t.Context(), "http://"+host, slog.New(slog.DiscardHandler))
	if err != nil || node == nil {
		t.Fatalf("%s is no node: %v", host, err)
	}
	if node.PeerAddr != host+":7000" || node.PeerListen != "0.0.0.0:7000" || serve.Host != "0.0.0.0" {
		t.Errorf("%s: others reach it at %s, it listens on %s and %s", host, node.PeerAddr, node.PeerListen, serve.Host)
	}
	for _, join := range strings.Split(string(serve.Join), ",") {
		at, err := url.Parse(join)
		if err != nil || join != "" && (!slices.Contains(others, at.Hostname()) || at.Port() != fmt.Sprint(serve.Port)) {
			t.Errorf("%s asks %s, %v", host, join, err)
		}
	}
}

// object is as much of any Kubernetes object as is looked at here.
type object struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		// Services
		ClusterIP                string `yaml:"clusterIP"`
		PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
		Ports                    []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Selector map[string]any

		// The budget
		MaxUnavailable int `yaml:"maxUnavailable"`

		// The nodes
		ServiceName         string `yaml:"serviceName"`
		Replicas            int
		PodManagementPolicy string `yaml:"podManagementPolicy"`
		Template            struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				SecurityContext               struct {
					RunAsUser    int  `yaml:"runAsUser"`
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
				} `yaml:"securityContext"`
				Containers []container
			}
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type container struct {
	Args []string
	Env  []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Lifecycle struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	LivenessProbe, ReadinessProbe probe
	VolumeMounts                  []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// UnmarshalYAML reads a container with the names that Kubernetes gives probes.
func (c *container) UnmarshalYAML(node *yaml.Node) error {
	type plain container
	if err := node.Decode((*plain)(c)); err != nil {
		return err
	}
	var probes struct {
		Liveness  probe `yaml:"livenessProbe"`
		Readiness probe `yaml:"readinessProbe"`
	}
	err := node.Decode(&probes)
	c.LivenessProbe, c.ReadinessProbe = probes.Liveness, probes.Readiness
	return err
}

// environment is what the container of a pod gets.
func (c *container) environment(pod string) map[string]string {
	environment := map[string]string{}
	for _, e := range c.Env {
		value := strings.ReplaceAll(e.Value, "$(NODE_ID)", environment["NODE_ID"])
		if e.ValueFrom.FieldRef.FieldPath == "metadata.name" {
			value = pod
		}
		environment[e.Name] = value
	}
	return environment
}

// objects are those that the kustomization of the nodes names, by kind and name.
func objects(t *testing.T) map[string]object {
	t.Helper()
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal([]byte(deployed(t, "kubernetes", "nodes", "kustomization.yaml")), &kustomization); err != nil {
		t.Fatal(err)
	}
	all := map[string]object{}
	for _, file := range kustomization.Resources {
		documents := yaml.NewDecoder(bytes.NewReader([]byte(deployed(t, "kubernetes", "nodes", file))))
		for {
			var o object
			err := documents.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[o.Kind+" "+o.Metadata.Name] = o
		}
	}
	return all
}

func TestKubernetes(t *testing.T) {
	all := objects(t)
	nodes := all["StatefulSet holdfast"]
	pod := nodes.Spec.Template
	c := pod.Spec.Containers[0]
	if nodes.Spec.Replicas != 3 || nodes.Spec.PodManagementPolicy != "Parallel" {
		t.Errorf("%d nodes, started %s", nodes.Spec.Replicas, nodes.Spec.PodManagementPolicy)
	}
	names := all["Service "+nodes.Spec.ServiceName]
	if names.Spec.ClusterIP != "None" || !names.Spec.PublishNotReadyAddresses {
		t.Errorf("the service of the nodes does not name them: %+v", names)
	}
	var pods, hosts []string
	for i := range nodes.Spec.Replicas {
		pods = append(pods, fmt.Sprintf("%s-%d", nodes.Metadata.Name, i))
		hosts = append(hosts, pods[i]+"."+nodes.Spec.ServiceName)
	}
	ports := map[string]int{}
	for _, port := range c.Ports {
		ports[port.Name] = port.ContainerPort
	}
	for i := range pods {
		serve := understood(t, c.Args, c.environment(pods[i])).Serve
		isNode(t, &serve, hosts[i], hosts)
		if got := strings.Count(string(serve.Join), ","); got != len(pods)-1 {
			t.Errorf("%s asks %s: a node that has lost its volume must ask all others", pods[i], serve.Join)
		}
		if string(serve.NodeID) != pods[i] || int(serve.Port) != ports["http"] || ports["peer"] != 7000 {
			t.Errorf("%s is %s on %v", pods[i], serve.NodeID, ports)
		}
		mount := c.VolumeMounts[0]
		if mount.MountPath != string(serve.DataDir) || mount.Name != nodes.Spec.VolumeClaimTemplates[0].Metadata.Name {
			t.Errorf("the state is in %s, the volume %s at %s", serve.DataDir, mount.Name, mount.MountPath)
		}
	}
	for _, service := range []string{"Service " + nodes.Spec.ServiceName, "Service holdfast"} {
		for _, port := range all[service].Spec.Ports {
			if ports[port.TargetPort] != port.Port {
				t.Errorf("%s: port %d goes to %q", service, port.Port, port.TargetPort)
			}
		}
		if len(all[service].Spec.Ports) == 0 || all[service].Spec.Selector["app"] != pod.Metadata.Labels["app"] {
			t.Errorf("%s chooses %v", service, all[service].Spec.Selector)
		}
	}
	budget := all["PodDisruptionBudget holdfast"].Spec
	if matched, ok := budget.Selector["matchLabels"].(map[string]any); !ok || budget.MaxUnavailable != 1 || matched["app"] != pod.Metadata.Labels["app"] {
		t.Errorf("the budget is %+v", budget)
	}
	for _, p := range []probe{c.LivenessProbe, c.ReadinessProbe} {
		answersProbe(t, p.HTTPGet.Path)
		if p.HTTPGet.Port != "http" {
			t.Errorf("asks for %s on port %q", p.HTTPGet.Path, p.HTTPGet.Port)
		}
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Error("a node that is only not ready would be killed")
	}
	drained := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if drained == 0 {
		t.Error("stops while its service still sends requests to it")
	}
	if grace := time.Duration(pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace <= drained+stopTime {
		t.Errorf("is killed after %v, and stops within %v, %v after it was asked to", grace, stopTime, drained)
	}
	if user := pod.Spec.SecurityContext; !user.RunAsNonRoot || fmt.Sprintf("%d:%[1]d", user.RunAsUser) != readDockerfile(t).user {
		t.Errorf("runs as %d, the image as %s", user.RunAsUser, readDockerfile(t).user)
	}
	if a := pod.Metadata.Annotations; a["prometheus.io/port"] != fmt.Sprint(ports["http"]) || a["prometheus.io/path"] != "/metrics" {
		t.Errorf("scraped at %v", a)
	}
}

// The first start is the same, of one node that asks nobody.
func TestKubernetesBegins(t *testing.T) {
	var kustomization struct {
		Resources []string
		Patches   []struct{ Patch string }
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "kubernetes", "begin", "kustomization.yaml")), &kustomization); err != nil {
		t.Fatal(err)
	}
	var patch object
	if err := yaml.Unmarshal([]byte(kustomization.Patches[0].Patch), &patch); err != nil {
		t.Fatal(err)
	}
	join, asks := patch.Spec.Template.Spec.Containers[0].environment("")["JOIN"]
	if !slices.Equal(kustomization.Resources, []string{"../nodes"}) || patch.Spec.Replicas != 1 || !asks || join != "" {
		t.Errorf("begins as %+v", patch)
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Log("kubectl is not here, so it has not been asked")
		return
	}
	for dir, replicas := range map[string]int{"begin": 1, "nodes": 3} {
		out, err := exec.Command("kubectl", "kustomize", filepath.Join("..", "..", "deploy", "kubernetes", dir)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), fmt.Sprintf("\n  replicas: %d\n", replicas)) {
			t.Errorf("kubectl kustomize %s: %v\n%s", dir, err, out)
		}
	}
}
