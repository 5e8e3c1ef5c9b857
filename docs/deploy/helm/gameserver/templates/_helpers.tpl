{{- define "gameserver.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "gameserver.selector" -}}
app.kubernetes.io/name: gameserver
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gameserver.labels" -}}
{{ include "gameserver.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "gameserver.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gameserver.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gameserver.environment" -}}
- name: GAMESERVER_DATABASE
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: database}}
- name: GAMESERVER_REDIS
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: redis}}
{{- end }}
