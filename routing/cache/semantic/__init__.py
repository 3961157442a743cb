"""The cache's layer of meaning: what was answered is given to who asks the same in other words.

Behind the exact cache, per policy, off by default. `prompts` says which requests use it and what of them must be equal
to the last byte; `store` keeps answers beside the vectors of their prompts in Postgres; `gates` know how texts that are
near each other differ; `layer` is the way of a request through all three. `checks` answers a share of the hits afresh,
and `thresholds` moves a policy's threshold by what they find.
"""
