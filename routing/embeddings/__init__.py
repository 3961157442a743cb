"""`/v1/embeddings` and what is around it: vectors from providers, and from the gateway's own models."""
