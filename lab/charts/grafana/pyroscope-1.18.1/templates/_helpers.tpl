{{- define "fullname" -}}
{{- $p := .Values.pyroscope }}
{{- $name := $p.nameOverride | default .Chart.Name }}
{{- $p.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "selector" -}}
app.kubernetes.io/name: pyroscope
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "serviceAccount" -}}
{{- $s := .Values.pyroscope.serviceAccount }}{{ $s.create | ternary ($s.name | default (include "fullname" .)) ($s.name | default "default") }}
{{- end }}
