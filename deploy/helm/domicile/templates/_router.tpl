{{/*
The router's container, as an item of `containers` or, with `sidecar` true, of `initContainers`:
  {{- include "domicile.container" (dict "root" . "sidecar" true) | nindent 8 }}
*/}}
{{- define "domicile.container" -}}
{{- $root := .root -}}
- name: domicile
  image: {{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
  {{- with $root.Values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  {{- if .sidecar }}
  # A native sidecar: up before the app starts, down after it ended.
  restartPolicy: Always
  {{- end }}
  args: [run, --config, /etc/domicile/settings/domicile.toml]
  envFrom:
    - configMapRef:
        name: {{ include "domicile.locationName" $root }}
  {{- if .sidecar }}
  env:
    # For this pod's own app and nobody else; what it says of whose record it is counts.
    - { name: DOMICILE__DATA_PLANE__LISTEN, value: "127.0.0.1:8080" }
    - { name: DOMICILE__DATA_PLANE__TRUSTED, value: 127.0.0.1/32 }
    # Nothing else sends here: there is nobody to wait for once the app has ended.
    - { name: DOMICILE__DATA_PLANE__DRAIN_DELAY, value: 0s }
    - { name: DOMICILE__LIMITS__MEMORY, value: 128MiB }
  {{- end }}
  ports:
    - { name: http, containerPort: 8080 }
    - { name: admin, containerPort: 9090 }
    - { name: probes, containerPort: 9091 }
  startupProbe:
    # Up to five minutes: a start checks the last GiB of the ledger and, after a crash, reads again
    # what came in the last half minute. All of it where directory or counts are lost; one that is
    # interrupted then goes on where it was.
    httpGet: { path: /livez, port: probes }
    periodSeconds: 2
    failureThreshold: 150
  readinessProbe:
    httpGet: { path: /readyz, port: probes }
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 2
  livenessProbe:
    httpGet: { path: /livez, port: probes }
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 3
  resources:
    {{- if $root.Values.resources }}
    {{- toYaml $root.Values.resources | nindent 4 }}
    {{- else if .sidecar }}
    requests: { cpu: 100m, memory: 128Mi }
    limits: { cpu: "1", memory: 512Mi }
    {{- else }}
    requests: { cpu: "1", memory: 256Mi }
    limits: { cpu: "2", memory: 1Gi }
    {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    # Whole volumes and never a subPath: that would not see changes.
    - { name: settings, mountPath: /etc/domicile/settings, readOnly: true }
    - { name: organisation, mountPath: /etc/domicile/organisation, readOnly: true }
    - { name: secrets, mountPath: /run/secrets/domicile, readOnly: true }
    - { name: state, mountPath: /var/lib/domicile }
    {{- if $root.Values.lawConfigMap }}
    - { name: law, mountPath: /etc/domicile/policies/law, readOnly: true }
    {{- end }}
    {{- if $root.Values.tlsSecret }}
    - { name: tls, mountPath: /run/secrets/domicile-tls, readOnly: true }
    {{- end }}
{{- end -}}

{{/* The volumes that the container mounts, but for `state`, which is a claim. */}}
{{- define "domicile.volumes" -}}
- name: settings
  configMap: { name: {{ include "domicile.name" . }}-settings }
- name: organisation
  configMap: { name: {{ include "domicile.name" . }}-organisation }
- name: secrets
  secret:
    secretName: {{ include "domicile.secretName" . }}
    defaultMode: 288 # 0440
    items:
      - { key: subject-key, path: subject-key }
      - { key: admin-token, path: admin-token }
{{- with .Values.lawConfigMap }}
- name: law
  configMap: { name: {{ . }} }
{{- end }}
{{- with .Values.tlsSecret }}
- name: tls
  secret: { secretName: {{ . }}, defaultMode: 288 }
{{- end }}
{{- end -}}

{{/* The claim of the state, as an item of `volumeClaimTemplates`. */}}
{{- define "domicile.claim" -}}
- metadata:
    name: state
    labels:
      domicile-jurisdiction: {{ .Values.jurisdiction.name }}
  spec:
    # One pod, and not only one node: the ledger has one writer.
    accessModes: [{{ .Values.state.accessMode }}]
    {{- with .Values.state.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .Values.state.size | default (ternary "20Gi" "100Gi" (eq .Values.shape "sidecar")) }}
{{- end -}}

{{/*
For a StatefulSet of your own: put this chart among your chart's dependencies, with `shape: sidecar`
and `app.create: false`, and then

  template:
    metadata:
      labels: { domicile-role: router }
    spec:
      {{- include "domicile.pod" .Subcharts.domicile | nindent 6 }}
      initContainers:
        {{- include "domicile.sidecar" .Subcharts.domicile | nindent 8 }}
      volumes:
        {{- include "domicile.volumes" .Subcharts.domicile | nindent 8 }}
  volumeClaimTemplates:
    {{- include "domicile.claim" .Subcharts.domicile | nindent 4 }}
*/}}
{{- define "domicile.sidecar" -}}
{{- include "domicile.container" (dict "root" . "sidecar" true) -}}
{{- end -}}

{{/* What the router asks of the pod around it. */}}
{{- define "domicile.pod" -}}
serviceAccountName: {{ include "domicile.name" . }}
automountServiceAccountToken: false
# The router reads variables that begin with DOMICILE_: let there be none but ours.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds | default (ternary 90 60 (eq .Values.shape "sidecar")) }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  # Not at every start: a ledger of years has many files, which only their owner may read.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
affinity:
  # A record that is here is in this country: so is the pod.
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - key: topology.kubernetes.io/region
              operator: In
              values: {{ toJson .Values.jurisdiction.nodeRegions }}
{{- end -}}
