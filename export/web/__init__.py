"""Scenes as static folders that a browser draws, as docs/web.md says: written, and read again. numpy alone.

octree     cells, and what they share           contents   a scene as the file holds it
numbers    quantised, as planes, compressed     pack       a model to contents
blocks     cells cut into runs of parents       groups     blocks as files, coarse to fine
header     `scene.js`, written and read         decode     files to contents, by `block_reader`
page       the page's own files, and its proof  folder     all of it together
"""
