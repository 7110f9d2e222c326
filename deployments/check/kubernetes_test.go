package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are the objects of an overlay, by kind and name.
type manifests map[string]any

// decode reads an object strictly: a field that its type does not have is a mistake.
func decode(kind string, text []byte) (any, error) {
	kinds := map[string]any{
		"Namespace": &corev1.Namespace{}, "Service": &corev1.Service{}, "ConfigMap": &corev1.ConfigMap{}, "Secret": &corev1.Secret{},
		"Deployment": &appsv1.Deployment{}, "StatefulSet": &appsv1.StatefulSet{}, "Job": &batchv1.Job{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "NetworkPolicy": &networkingv1.NetworkPolicy{}, "Ingress": &networkingv1.Ingress{},
	}
	into, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("this test does not know %s", kind)
	}
	return into, yaml.UnmarshalStrict(text, into)
}

func example(t *testing.T) manifests {
	t.Helper()
	dir := filepath.Join(withSecrets(t), "kubernetes", "example")
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	must(t, err)
	all := make(manifests)
	for _, r := range made.Resources() {
		text, err := r.AsYAML()
		must(t, err)
		object, err := decode(r.GetKind(), text)
		if err != nil {
			t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
			continue
		}
		if r.GetKind() != "Namespace" && r.GetNamespace() != "onrecord" {
			t.Errorf("%s %s is in the namespace %q", r.GetKind(), r.GetName(), r.GetNamespace())
		}
		all[r.GetKind()+" "+r.GetName()] = object
	}
	return all
}

// pods returns what runs: its pods, by name.
func (m manifests) pods() map[string]corev1.PodTemplateSpec {
	all := make(map[string]corev1.PodTemplateSpec)
	for _, o := range m {
		switch o := o.(type) {
		case *appsv1.Deployment:
			all[o.Name] = o.Spec.Template
		case *appsv1.StatefulSet:
			all[o.Name] = o.Spec.Template
		case *batchv1.Job:
			all[o.Name] = o.Spec.Template
		}
	}
	return all
}

func TestEveryPodIsHardenedProbedAndBounded(t *testing.T) {
	m := example(t)
	pods := m.pods()
	if len(pods) != 5 {
		t.Fatalf("%d kinds of pods, want 5", len(pods))
	}
	for name, pod := range pods {
		s := pod.Spec.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod may be root, or is not confined", name)
		}
		if a := pod.Spec.AutomountServiceAccountToken; a == nil || *a {
			t.Errorf("%s: it gets a token of the cluster", name)
		}
		for _, c := range pod.Spec.Containers {
			s := c.SecurityContext
			if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: security context %+v", name, s)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
				t.Errorf("%s: resources %+v", name, c.Resources)
			}
			if name != "streams" && (c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil) {
				t.Errorf("%s lacks a probe", name)
			}
			for _, e := range c.Env {
				if strings.Contains(e.Name, "PASSWORD") || strings.Contains(e.Name, "MASTER_KEY") {
					t.Errorf("%s: %s stands in the manifest", name, e.Name)
				}
			}
			if strings.HasPrefix(c.Image, "onrecord-") {
				t.Errorf("%s: the overlay gives no image for %s", name, c.Image)
			}
		}
		if _, ok := m["PodDisruptionBudget "+name]; !ok && name != "streams" {
			t.Errorf("%s has no disruption budget", name)
		}
	}
	for _, name := range []string{"intake", "classifier", "reporting"} {
		if d, ok := m["Deployment "+name].(*appsv1.Deployment); !ok || *d.Spec.Replicas < 2 {
			t.Errorf("%s does not run twice", name)
		}
	}
}

// What pods mount and take from, and what policies and budgets select, is there.
func TestManifestsNameWhatIsThere(t *testing.T) {
	m := example(t)
	pods := m.pods()
	there := func(what, name string) {
		t.Helper()
		if _, ok := m[what+" "+name]; !ok {
			t.Errorf("there is no %s %s", what, name)
		}
	}
	for name, pod := range pods {
		files := make(map[string]bool)
		for _, v := range pod.Spec.Volumes {
			switch {
			case v.Secret != nil:
				there("Secret", v.Secret.SecretName)
				for key := range m["Secret "+v.Secret.SecretName].(*corev1.Secret).Data {
					files["/run/secrets/onrecord/"+key] = true
				}
			case v.ConfigMap != nil && v.ConfigMap.Optional != nil && *v.ConfigMap.Optional:
				// A model of the installation's own is there when somebody has made one.
			case v.ConfigMap != nil:
				there("ConfigMap", v.ConfigMap.Name)
				for key := range m["ConfigMap "+v.ConfigMap.Name].(*corev1.ConfigMap).Data {
					files["/etc/onrecord/"+key] = true
				}
			}
		}
		c := pod.Spec.Containers[0]
		for _, from := range c.EnvFrom {
			there("Secret", from.SecretRef.Name)
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Value, "/run/secrets/") && !files[e.Value] {
				t.Errorf("%s: %s names %s, which is not mounted", name, e.Name, e.Value)
			}
		}
		if name == "nats" && (!files["/etc/onrecord/server.conf"] || !files["/etc/onrecord/users.conf"]) {
			t.Errorf("nats lacks its configuration: %v", files)
		}
	}
	for what, o := range m {
		var labels map[string]string
		switch o := o.(type) {
		case *corev1.Service:
			labels = o.Spec.Selector
		case *policyv1.PodDisruptionBudget:
			labels = o.Spec.Selector.MatchLabels
		default:
			continue
		}
		if _, ok := pods[labels["app.kubernetes.io/name"]]; !ok {
			t.Errorf("%s selects nothing: %v", what, labels)
		}
	}
}

func TestNothingIsReachedUnlessAPolicySaysSo(t *testing.T) {
	m := example(t)
	deny, ok := m["NetworkPolicy deny-everything"].(*networkingv1.NetworkPolicy)
	if !ok || len(deny.Spec.PodSelector.MatchLabels)+len(deny.Spec.PodSelector.MatchExpressions) > 0 || len(deny.Spec.PolicyTypes) != 2 || len(deny.Spec.Ingress)+len(deny.Spec.Egress) > 0 {
		t.Fatalf("everything is not denied: %+v", deny)
	}
	for what, o := range m {
		p, ok := o.(*networkingv1.NetworkPolicy)
		if !ok {
			continue
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s lets everybody in, or to every port", what)
			}
		}
		for _, rule := range p.Spec.Egress {
			if len(rule.Ports) == 0 {
				t.Errorf("%s lets out to every port", what)
			}
		}
	}
}

func TestKubernetesGivesNATSEveryVariable(t *testing.T) {
	c := example(t).pods()["nats"].Spec.Containers[0]
	secrets := read(t, "secrets.sh")
	config := read(t, "nats", "server.conf") + read(t, "nats", "users.conf")
	for _, name := range variables.FindAllStringSubmatch(config, -1) {
		given := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name[1] }) ||
			strings.HasSuffix(name[1], "_PASSWORD") || strings.Contains(secrets, name[1]+"=")
		if !given {
			t.Errorf("the configuration names $%s and nats.yaml does not set it", name[1])
		}
	}
}
