{{/* What all pods have in common. Takes root and placement. */}}
{{- define "neurocity.pod" -}}
serviceAccountName: {{ include "neurocity.serviceAccount" .root }}
automountServiceAccountToken: false
# Kubernetes would set NEUROCITY_PORT to the address of a service called neurocity.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- range $name := list "runtimeClassName" "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with index $.placement $name }}
{{ $name }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "neurocity.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where pods see the repository: its folder, or the address of an object storage. */}}
{{- define "neurocity.repository" -}}
{{- if eq .Values.repository.type "url" -}}
{{- .Values.repository.url -}}
{{- else -}}
{{- printf "/models/%s" .Values.repository.path | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{/* The volume of a repository that is a folder. Takes root and readOnly. */}}
{{- define "neurocity.models" -}}
name: models
{{- if eq .root.Values.repository.type "image" }}
image: {{- toYaml .root.Values.repository.image | nindent 2 }}
{{- else }}
persistentVolumeClaim:
  claimName: {{ .root.Values.repository.claimName }}
  readOnly: {{ .readOnly }}
{{- end }}
{{- end -}}

{{/* The credentials of an object storage, as environment. */}}
{{- define "neurocity.credentials" -}}
{{- if and (eq .Values.repository.type "url") .Values.repository.urlSecret -}}
envFrom:
  - secretRef: {name: {{ .Values.repository.urlSecret }}}
{{- end -}}
{{- end -}}

{{/* The resources of a container and its GPUs. Takes resources, gpus and gpuResource. */}}
{{- define "neurocity.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpus) 0 -}}
{{- $limits := merge (dict .gpuResource (int .gpus)) ($resources.limits | default dict) -}}
{{- $resources = set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
