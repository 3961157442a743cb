"""Documents and search for gateway keys; `rag` does the work."""
