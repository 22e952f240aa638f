"""What parsers of several formats ask of a text: whether it is content, and how its signs are written."""
