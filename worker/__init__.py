"""From a request message to its response: intake, tokenization, scheduler, encoder, publisher, offsets.

    intake (interactive) -\\
                           > tokenization -> scheduler -> encoder -> publisher -> offsets
    intake (bulk)        -/

`pipeline.py` wires the stages; each stage is a module that can be read alone. torch lives in `encoder/` only.
"""
