{{/*
How pods end. The sum of what comes before the system kills a gateway: nobody is told to wait longer than that.
A sidecar gets its signal when the gateway has ended, and has what is left.
*/}}
{{- define "neurocity.grace" -}}
{{- $needed := add (int .Values.preStopSeconds) (int .Values.drainSeconds) -}}
{{- if eq .Values.triton.mode "sidecar" -}}
{{- $needed = add $needed (int .Values.triton.exitSeconds) -}}
{{- end -}}
{{- $grace := add $needed 5 -}}
{{- if hasKey .Values "terminationGracePeriodSeconds" -}}
{{- $grace = int .Values.terminationGracePeriodSeconds -}}
{{- if le (int $grace) (int $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds: got %d, expected more than the %d s that preStopSeconds, drainSeconds (and triton.exitSeconds, with a sidecar) make; leave it out to have it computed" (int $grace) (int $needed)) -}}
{{- end -}}
{{- end -}}
{{- $grace -}}
{{- end -}}
