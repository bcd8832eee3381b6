"""Camera paths: files of several programs to the cameras of a film's frames.

`read` tells the format; `nerfstudio`, `instant_ngp`, `transforms` and `keyframes` read one each. `fields` and
`request` hold what they share, `splines` and `quaternions` the curves between keyframes.
"""
