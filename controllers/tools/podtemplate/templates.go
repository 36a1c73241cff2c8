package main

func i32(v int32) *int32 { return &v }

// Templates as the API server would store them after defaulting, and a few odd ones.
var handwritten = []struct {
	name       string
	collisions *int32
	template   string
}{
	{"empty", nil, `{}`},
	{"plain", nil, plain},
	{"plain, first collision", i32(1), plain},
	{"plain, collision count zero", i32(0), plain},
	{"plain, collision count large", i32(2147483647), plain},
	{"resources", nil, `{"metadata":{"creationTimestamp":null,"labels":{"app":"r"}},"spec":{"containers":[{"name":"c","image":"i","resources":{
		"limits":{"cpu":"500m","memory":"128Mi","ephemeral-storage":"2G","nvidia.com/gpu":"1","hugepages-2Mi":"8Mi"},
		"requests":{"cpu":"8","memory":"8Gi","example.com/zero":"0","example.com/dec":"1500","example.com/exp":"1e3","example.com/big":"9223372036854775807",
		"example.com/bigger":"12345678901234567890","example.com/tiny":"1n","example.com/ki":"3Ki","example.com/half":"1500m","example.com/round":"5k","example.com/neg":"-5"}}}]}}`},
	{"quantities not in canonical form", nil, `{"spec":{"containers":[{"name":"c","resources":{"limits":{"a":"0.5","b":"1000m","c":"1.5Gi","d":"1024Mi","e":"0.1","f":"1024Ki","g":"0.0001","h":"1E","i":"16Ei","j":"1.25e2","k":"0.5n","l":"00012","m":"0.500"}}}]}}`},
	{"int or string", nil, `{"spec":{"containers":[{"name":"c","image":"i","livenessProbe":{"httpGet":{"path":"/","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},
		"readinessProbe":{"tcpSocket":{"port":"http"},"initialDelaySeconds":5},"startupProbe":{"grpc":{"port":9000,"service":"x"}}}]}}`},
	{"nulls and empties", nil, `{"metadata":{"creationTimestamp":null,"labels":{},"annotations":null},"spec":{"containers":null,"nodeSelector":{},"tolerations":[],"securityContext":{},"affinity":{}}}`},
	{"labels and annotations sort", nil, `{"metadata":{"labels":{"b":"2","a":"1","B":"3","a.b/c":"4","a-b":"5"},"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-21T07:00:00Z","x":""}},"spec":{"containers":[]}}`},
	{"volumes", nil, `{"spec":{"containers":[{"name":"c","image":"i","volumeMounts":[{"name":"v","mountPath":"/v","readOnly":true,"subPath":"s","mountPropagation":"HostToContainer"}],"volumeDevices":[{"name":"d","devicePath":"/dev/x"}]}],
		"volumes":[{"name":"e","emptyDir":{}},{"name":"m","emptyDir":{"medium":"Memory","sizeLimit":"64Mi"}},{"name":"h","hostPath":{"path":"/x","type":""}},{"name":"cm","configMap":{"name":"n","defaultMode":420,"optional":true,"items":[{"key":"k","path":"p","mode":256}]}},
		{"name":"s","secret":{"secretName":"s","defaultMode":420}},{"name":"pr","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"ns","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}},{"path":"cpu","resourceFieldRef":{"containerName":"c","resource":"limits.cpu","divisor":"1m"}},{"path":"mem","resourceFieldRef":{"resource":"limits.memory","divisor":"0"}}]}}]}},
		{"name":"pvc","persistentVolumeClaim":{"claimName":"x"}},{"name":"eph","ephemeral":{"volumeClaimTemplate":{"metadata":{"creationTimestamp":null,"labels":{"a":"b"}},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"volumeMode":"Filesystem"}}}},{"name":"csi","csi":{"driver":"d","volumeAttributes":{"k":"v"}}},{"name":"nfs","nfs":{"server":"s","path":"/p"}},{"name":"img","image":{"reference":"r","pullPolicy":"IfNotPresent"}}]}}`},
	{"scheduling", nil, `{"spec":{"containers":[{"name":"c","image":"i"}],"nodeSelector":{"k":"v"},"priorityClassName":"p","schedulerName":"default-scheduler","tolerations":[{"key":"k","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],
		"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["x","y"]}]},"matchLabelKeys":["pod-template-hash"],"nodeTaintsPolicy":"Honor"}],
		"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"k","operator":"Exists"}]}]},"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"preference":{"matchFields":[{"key":"metadata.name","operator":"In","values":["n"]}]}}]},
		"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"a":"b"}},"topologyKey":"kubernetes.io/hostname"}]}},"hostAliases":[{"ip":"1.2.3.4","hostnames":["h"]}],"readinessGates":[{"conditionType":"x"}],"overhead":{"cpu":"10m"},"runtimeClassName":"r","enableServiceLinks":false,"preemptionPolicy":"Never","dnsConfig":{"nameservers":["1.1.1.1"],"options":[{"name":"ndots","value":"5"}]},"os":{"name":"linux"},"hostUsers":false,"schedulingGates":[{"name":"g"}]}}`},
	{"security, lifecycle, env", nil, `{"spec":{"initContainers":[{"name":"side","image":"s","restartPolicy":"Always","imagePullPolicy":"Always"}],"containers":[{"name":"c","image":"i","command":["sh","-c"],"args":["echo \"$X\"\nexit"],"workingDir":"/w","ports":[{"name":"http","containerPort":80,"protocol":"TCP"},{"containerPort":53,"hostPort":53,"protocol":"UDP"}],
		"env":[{"name":"A","value":"1"},{"name":"B","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.podIP"}}},{"name":"C","valueFrom":{"secretKeyRef":{"name":"s","key":"k","optional":false}}}],"envFrom":[{"prefix":"P_","configMapRef":{"name":"cm"}}],
		"lifecycle":{"preStop":{"exec":{"command":["sleep","5"]}},"postStart":{"httpGet":{"path":"/x","port":"web","httpHeaders":[{"name":"h","value":"v"}]}}},"securityContext":{"runAsUser":1000,"runAsNonRoot":true,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_ADMIN"]},"seccompProfile":{"type":"RuntimeDefault"}},"stdin":true,"tty":true,"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],
		"securityContext":{"fsGroup":2000,"supplementalGroups":[1,2],"sysctls":[{"name":"net.core.somaxconn","value":"1"}],"fsGroupChangePolicy":"OnRootMismatch"},"serviceAccountName":"sa","serviceAccount":"sa","automountServiceAccountToken":true,"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","hostNetwork":true,"shareProcessNamespace":true,"imagePullSecrets":[{"name":"r"}]}}`},
}

const plain = `{"metadata":{"creationTimestamp":null,"labels":{"app":"web"}},"spec":{"containers":[{"name":"agnhost","image":"registry.k8s.io/e2e-test-images/agnhost:2.66.1","args":["netexec"],"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}`
