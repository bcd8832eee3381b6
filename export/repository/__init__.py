"""What stands beside an artefact in the model repository, and how it gets there.

publish   a model appears entirely or not at all    exchange  two folders swapped in one step
triton_config  what Triton reads                    report    the proof as a person reads it
"""
