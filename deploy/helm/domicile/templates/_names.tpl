{{- define "domicile.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The workload: the router itself, or the app beside it. */}}
{{- define "domicile.workload" -}}
{{- if eq .Values.shape "sidecar" }}{{ .Values.app.name }}{{ else }}{{ include "domicile.name" . }}{{ end -}}
{{- end -}}

{{- define "domicile.secretName" -}}
{{- .Values.secret.name | default (include "domicile.name" .) -}}
{{- end -}}

{{- define "domicile.selector" -}}
app.kubernetes.io/name: {{ if eq .Values.shape "sidecar" }}{{ .Values.app.name }}{{ else }}domicile{{ end }}
app.kubernetes.io/instance: {{ include "domicile.name" . }}
app.kubernetes.io/component: {{ if eq .Values.shape "sidecar" }}api{{ else }}gateway{{ end }}
{{- end -}}

{{- define "domicile.labels" -}}
{{ include "domicile.selector" . }}
app.kubernetes.io/part-of: domicile
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
domicile-jurisdiction: {{ .Values.jurisdiction.name }}
{{- end -}}

{{- define "domicile.settings" -}}
{{- .Values.settings | default (.Files.Get "files/domicile.toml") -}}
{{- end -}}

{{- define "domicile.organisation" -}}
{{- .Values.organisation | default (.Files.Get "files/organisation.toml") -}}
{{- end -}}

{{- define "domicile.location" -}}
DOMICILE__LOCATION__COUNTRY: {{ .Values.jurisdiction.country | quote }}
DOMICILE__LOCATION__ENTITY: {{ .Values.jurisdiction.entity | quote }}
{{- range $name, $value := .Values.environment }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* With a hash: a pod must not run on under another location than the one it was started with. */}}
{{- define "domicile.locationName" -}}
{{ include "domicile.name" . }}-location-{{ include "domicile.location" . | sha256sum | trunc 10 }}
{{- end -}}
