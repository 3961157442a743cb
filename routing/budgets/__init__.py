"""Budgets of keys, members and workspaces: what is spent and what is reserved never come to more than the limit.

A request that may cost something reserves an upper bound of it (`bounds`) before a target is asked, in each budget that
holds for it (`hold`). What it cost replaces that when it is settled, and stays reserved until the ledger has its record
(`collector`): so a crash, a replay or a lost message leaves too much reserved, never too little.

What this process holds is its `book`. Where it may hold more is the till's to say: the book alone where there is one
process; Redis, through one script, where there are several; Postgres for as long as Redis is away. Going from one till
to another is a barrier (`tellers`): nobody reserves in the new one before everybody has brought what they hold.

Money is in picodollars, an integer: every price and every cost is a whole number of them.
"""
