"""Pages of documents that are pictures, read by a vision model that the workspace's policy permits.

The worker that parses documents has no request path: budgets and limits of a call are kept by the web processes. So it
hands a page to one of them, with a ticket that only this installation can write (`ticket`), and the web process asks as
it asks for a client (`serving`): chosen by policy, within budgets, and in the ledger.
"""
