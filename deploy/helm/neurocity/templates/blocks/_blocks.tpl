{{/* What the two steps of a block have in common: a container of the image for training. */}}
{{- define "neurocity.blocks.container" -}}
{{ include "neurocity.image" (dict "root" . "image" .Values.blocks.image) }}
{{- with include "neurocity.credentials" . }}
{{ . }}
{{- end }}
env:
  - name: BLOCK
    valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
  - name: POD
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
resources: {{- include "neurocity.resources" .Values.blocks | nindent 2 }}
securityContext: {{- include "neurocity.security" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: shared-memory, mountPath: /dev/shm}
  - {name: data, mountPath: /data, readOnly: true}
  - {name: runs, mountPath: /runs}
{{- end -}}

{{/*
A block's file of configuration, which is mounted by its number. Takes root and block. As JSON, since in YAML Helm
writes 1000000 as 1e+06, which Python's reader takes for a text.
*/}}
{{- define "neurocity.block" -}}
{{- toJson (merge (dict "family" .root.Values.blocks.family) .block) -}}
{{- end -}}

{{/* The pods of a job cannot be changed, so that what would change them makes another job, which trains anew. */}}
{{- define "neurocity.blocks.name" -}}
{{- $made := dict "blocks" (omit .Values.blocks "keepSeconds" "parallelism") "version" .Chart.AppVersion -}}
{{- $made = merge $made (pick .Values "repository" "serviceAccount" "imagePullSecrets") -}}
{{- printf "%s-blocks-%s" (include "neurocity.fullname" .) (toJson $made | sha256sum | trunc 8) -}}
{{- end -}}
