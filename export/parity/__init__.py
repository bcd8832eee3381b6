"""Is an artefact the model? Knows renderers, and neither formats nor jobs.

rays        which rays are asked              reference  the model's answer to them, the only torch here
metrics     how far two renders are apart     compare    which of that is too far: deviations to checks
tolerances  the limits, and their origin      gate       all comparisons of an export: pass or refuse
golden      the model's answers, stored       verify     the gate's proof repeated from them, anywhere
photographs what is lost against the truth    pictures   where the artefact differs, as PNG files
triton_client  a running server as a renderer
"""
