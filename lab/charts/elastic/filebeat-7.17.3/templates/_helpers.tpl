{{- define "filebeat.fullname" -}}
{{ .Values.fullnameOverride | default (printf "%s-%s" .Release.Name (.Values.nameOverride | default .Chart.Name)) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "filebeat.serviceAccount" -}}
{{ .Values.serviceAccount | default (include "filebeat.fullname" .) }}
{{- end }}

{{- define "filebeat.labels" -}}
app: {{ include "filebeat.fullname" . }}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
heritage: {{ .Release.Service }}
release: {{ .Release.Name | quote }}
{{- with .Values.daemonset.labels | default .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "filebeat.configName" -}}
{{ include "filebeat.fullname" . }}{{ if not .Values.filebeatConfig }}-daemonset{{ end }}-config
{{- end }}
