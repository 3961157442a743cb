"""The console's pages for libraries, their documents, and what is found in them."""
