{{/* One name for everything: a second operator for the same jobs would be a mistake. */}}
{{- define "lmjob.name" -}}lmjob-operator{{- end }}

{{- define "lmjob.selector" -}}
app.kubernetes.io/name: {{ include "lmjob.name" . }}
{{- end }}

{{- define "lmjob.labels" -}}
{{ include "lmjob.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "lmjob.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the operator does in the namespaces whose jobs it carries out, and nothing else. */}}
{{- define "lmjob.rules" -}}
- apiGroups: [lmtraining.dev]
  resources: [lmtrainingjobs]
  verbs: [get, list, watch]
- apiGroups: [lmtraining.dev]
  resources: [lmtrainingjobs/status]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
