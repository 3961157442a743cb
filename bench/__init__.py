"""The benchmark of the request path: the real gateway beside a bare pass-through, measured in the same run.

`python -m bench` prints the table, `python -m bench profile` the heaviest functions, `python -m bench scale` what
10,000 keys and 1,000,000 ledger rows add. The parts are processes of their own:

    load.py  ->  gateway.py (the product) or passthrough.py  ->  upstream.py

Times are CPU times of whole processes, so a busy machine makes the run longer and the ratios hardly different.
"""
