"""What trains and judges the classifier: a developer's tools, of which nothing is imported on the request path."""
