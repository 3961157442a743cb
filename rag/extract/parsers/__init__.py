"""One module per format, each with `parse(source, builder)`. Only the child imports them."""
