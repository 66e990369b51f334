"""A worker, watched: what it tells of itself at `--metrics-port`, and when it gives itself up.

`watch.py` is what the pipeline calls; `table.py` lists every metric; nothing here decides what becomes of a request.
"""
