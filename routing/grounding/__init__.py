"""Answers on the ground of documents: passages of a library before the question, and citations behind the answer."""
