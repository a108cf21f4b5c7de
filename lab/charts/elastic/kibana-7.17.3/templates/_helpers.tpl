{{- define "kibana.fullname" -}}
{{ .Values.fullnameOverride | default (printf "%s-%s" (.Values.nameOverride | default .Release.Name) .Chart.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kibana.selector" -}}
app: kibana
release: {{ .Release.Name | quote }}
{{- end }}

{{- define "kibana.labels" -}}
{{ include "kibana.selector" . }}
heritage: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}
